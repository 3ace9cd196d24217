/* aws_zone.c: reading TZif files; see aws_zone.h. */
#include "aws_zone.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <unistd.h>

#include "buf.h"
#include "hash.h"
#include "mem.h"
#include "sql_calendar.h"

#define ZONES "/usr/share/zoneinfo"
enum { NAME_MAX_BYTES = 64, FILE_MAX = 64 << 10, BUCKETS = 256, LETTERS_MAX = 16 };

struct kind {
	int32_t offset;
	bool dst;
	char letters[LETTERS_MAX];
};
/* A day of every year: Mm.w.d, Jn (29 February never counts) or n (it does). */
struct yearly {
	char form; /* M, J or 0 */
	int month, week, day;
	int32_t time; /* seconds, local */
};
struct aws_zone_rules {
	struct aws_zone_rules *next;
	char name[NAME_MAX_BYTES + 1];
	uint32_t n_times, n_kinds;
	int64_t *times; /* from times[i] on kind[of[i]] holds */
	uint8_t *of;
	struct kind *kinds;
	bool ruled, summer; /* behind the last time: */
	struct kind standard, daylight;
	struct yearly begin, end;
};

/* Zones are only ever added, so that readers need no lock. */
static _Atomic(struct aws_zone_rules *) known[BUCKETS];
static atomic_uint n_known;

/* ---- the rule of the years behind the table: CET-1CEST,M3.5.0,M10.5.0/3 ---- */

static bool take_number(struct sl_slice *s, int max, int *out) {
	size_t n = 0;
	*out = 0;
	for (; n < s->n && n < 4 && s->p[n] >= '0' && s->p[n] <= '9'; n++) *out = *out * 10 + (s->p[n] - '0');
	*s = slice_from(*s, n);
	return n > 0 && *out <= max;
}
static bool take_char(struct sl_slice *s, char c) {
	if (s->n == 0 || s->p[0] != c) return false;
	*s = slice_from(*s, 1);
	return true;
}

static bool take_letters(struct sl_slice *s, char out[LETTERS_MAX]) {
	bool quoted = take_char(s, '<');
	size_t n = 0;
	for (; n < s->n; n++) {
		char c = s->p[n];
		bool letter = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
		if (quoted ? c == '>' : !letter) break;
	}
	if (n == 0 || n >= LETTERS_MAX) return false;
	memcpy(out, s->p, n);
	out[n] = '\0';
	*s = slice_from(*s, n);
	return !quoted || take_char(s, '>');
}

/* [+-]h[:mm[:ss]] */
static bool take_time(struct sl_slice *s, int32_t *out) {
	int h, m = 0, sec = 0;
	bool negative = take_char(s, '-');
	if (!negative) take_char(s, '+');
	if (!take_number(s, 167, &h)) return false;
	if (take_char(s, ':') && !take_number(s, 59, &m)) return false;
	if (take_char(s, ':') && !take_number(s, 59, &sec)) return false;
	*out = (h * 3600 + m * 60 + sec) * (negative ? -1 : 1);
	return true;
}

static bool take_yearly(struct sl_slice *s, struct yearly *y) {
	*y = (struct yearly){.time = 2 * 3600};
	if (!take_char(s, ',')) return false;
	if (take_char(s, 'M')) {
		y->form = 'M';
		if (!take_number(s, 12, &y->month) || !take_char(s, '.') || !take_number(s, 5, &y->week) ||
		    !take_char(s, '.') || !take_number(s, 6, &y->day) || y->month < 1 || y->week < 1)
			return false;
	} else {
		y->form = take_char(s, 'J') ? 'J' : 0;
		if (!take_number(s, 365, &y->day)) return false;
	}
	return !take_char(s, '/') || take_time(s, &y->time);
}

static bool read_rule(struct aws_zone_rules *z, struct sl_slice s) {
	if (!take_letters(&s, z->standard.letters) || !take_time(&s, &z->standard.offset)) return false;
	z->standard.offset = -z->standard.offset; /* POSIX counts to the west */
	z->ruled = true;
	if (s.n == 0) return true;
	if (!take_letters(&s, z->daylight.letters)) return false;
	z->daylight.offset = z->standard.offset + 3600;
	if (s.n && s.p[0] != ',') {
		if (!take_time(&s, &z->daylight.offset)) return false;
		z->daylight.offset = -z->daylight.offset;
	}
	z->daylight.dst = true;
	z->summer = take_yearly(&s, &z->begin) && take_yearly(&s, &z->end) && s.n == 0;
	return z->summer;
}

static int64_t yearly_seconds(const struct yearly *y, int64_t year) {
	int64_t first = sql_days_from_civil(year, 1, 1), day;
	if (y->form == 'M') {
		int64_t month = sql_days_from_civil(year, y->month, 1);
		int64_t weekday = ((month + 4) % 7 + 7) % 7; /* 1970-01-01 was a Thursday */
		day = month + (y->day - weekday + 7) % 7 + 7 * (y->week - 1);
		while (day >= month + sql_month_length(year, y->month)) day -= 7;
	} else {
		day = first + y->day - (y->form == 'J');
		if (y->form == 'J' && y->day >= 60 && sql_leap_year(year)) day++;
	}
	return day * 86400 + y->time;
}

static const struct kind *kind_by_rule(const struct aws_zone_rules *z, int64_t utc) {
	if (!z->summer) return &z->standard;
	int64_t year = sql_date_of(utc + z->standard.offset, 0).year;
	int64_t begin = yearly_seconds(&z->begin, year) - z->standard.offset;
	int64_t end = yearly_seconds(&z->end, year) - z->daylight.offset;
	bool in = begin < end ? utc >= begin && utc < end : utc >= begin || utc < end;
	return in ? &z->daylight : &z->standard;
}

/* ---- the file ---- */

static int64_t read_be(const uint8_t *p, int n) {
	uint64_t v = 0;
	for (int i = 0; i < n; i++) v = v << 8 | p[i];
	return n == 4 ? (int32_t)(uint32_t)v : (int64_t)v;
}

struct counts {
	uint32_t isut, isstd, leap, time, type, chars;
};
static bool read_header(struct sl_slice *s, struct counts *c, char *version) {
	enum { HEADER = 44 };
	if (s->n < HEADER || memcmp(s->p, "TZif", 4) != 0) return false;
	const uint8_t *p = (const uint8_t *)s->p;
	uint32_t *field[] = {&c->isut, &c->isstd, &c->leap, &c->time, &c->type, &c->chars};
	for (size_t i = 0; i < SL_ARRAY_LEN(field); i++) {
		*field[i] = (uint32_t)read_be(p + 20 + 4 * i, 4);
		if (*field[i] > FILE_MAX) return false;
	}
	*version = s->p[4];
	*s = slice_from(*s, HEADER);
	return true;
}
static size_t body_size(const struct counts *c, size_t word) {
	return c->time * (word + 1) + c->type * 6 + c->chars + c->leap * (word + 4) + c->isstd + c->isut;
}

static bool read_kinds(struct aws_zone_rules *z, const uint8_t *types, const uint8_t *chars, uint32_t n_chars) {
	for (uint32_t i = 0; i < z->n_kinds; i++) {
		const uint8_t *t = types + 6 * i;
		struct kind *k = &z->kinds[i];
		k->offset = (int32_t)read_be(t, 4);
		k->dst = t[4];
		if (k->offset < -93600 || k->offset > 93600 || t[5] >= n_chars) return false;
		for (uint32_t j = 0; j + 1 < LETTERS_MAX && t[5] + j < n_chars; j++)
			k->letters[j] = (char)chars[t[5] + j]; /* up to a NUL */
		k->letters[LETTERS_MAX - 1] = '\0';
	}
	return true;
}

/* Version 2 and later: the table of version 1 is stepped over. */
static bool read_zone(struct aws_zone_rules *z, struct sl_slice s) {
	struct counts c;
	char version;
	if (!read_header(&s, &c, &version) || version < '2' || s.n < body_size(&c, 4)) return false;
	s = slice_from(s, body_size(&c, 4));
	if (!read_header(&s, &c, &version) || s.n < body_size(&c, 8) || c.type == 0 || c.type > 255) return false;
	const uint8_t *p = (const uint8_t *)s.p, *of = p + 8 * c.time, *types = of + c.time;
	z->n_times = c.time;
	z->n_kinds = c.type;
	z->times = SL_NEW_ARRAY(int64_t, c.time ? c.time : 1);
	z->of = SL_NEW_ARRAY(uint8_t, c.time ? c.time : 1);
	z->kinds = SL_NEW_ARRAY(struct kind, c.type);
	for (uint32_t i = 0; i < c.time; i++) {
		z->times[i] = read_be(p + 8 * i, 8);
		z->of[i] = of[i];
		if (of[i] >= c.type || (i && z->times[i] <= z->times[i - 1])) return false;
	}
	if (!read_kinds(z, types, types + 6 * c.type, c.chars)) return false;
	s = slice_trim(slice_from(s, body_size(&c, 8)));
	return s.n == 0 || read_rule(z, s);
}

static bool name_is_sound(struct sl_slice name) {
	char before = '/';
	if (name.n == 0 || name.n > NAME_MAX_BYTES || slice_starts_with(name, SL_SLICE_LIT("right/"))) return false;
	for (size_t i = 0; i < name.n; i++) {
		char c = name.p[i];
		bool fine = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
			    c == '+' || c == '-';
		if (!fine && (c != '/' || before == '/')) return false; /* no dot: nothing leads out of the folder */
		before = c;
	}
	return before != '/';
}

static bool read_file(struct sl_slice name, struct sl_buf *out) {
	char path[sizeof ZONES + 1 + NAME_MAX_BYTES];
	struct stat st;
	memcpy(path, ZONES "/", sizeof ZONES);
	memcpy(path + sizeof ZONES, name.p, name.n);
	path[sizeof ZONES + name.n] = '\0';
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0) return false;
	bool sound = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0 && st.st_size <= FILE_MAX;
	if (sound) {
		ssize_t n = read(fd, sl_buf_add(out, (size_t)st.st_size), (size_t)st.st_size);
		sound = n == st.st_size;
	}
	close(fd);
	return sound;
}

static void zone_free(struct aws_zone_rules *z) {
	sl_free(z->times);
	sl_free(z->of);
	sl_free(z->kinds);
	sl_free(z);
}

static struct aws_zone_rules *find_known(struct aws_zone_rules *z, struct sl_slice name) {
	while (z && !slice_equal_str(name, z->name)) z = z->next;
	return z;
}

static const struct aws_zone_rules *rules_of(struct sl_slice name) {
	if (!name_is_sound(name)) return NULL;
	_Atomic(struct aws_zone_rules *) *bucket = &known[sl_hash(name) % BUCKETS];
	struct aws_zone_rules *first = atomic_load(bucket), *z = find_known(first, name);
	if (z) return z;
	if (atomic_load(&n_known) >= AWS_ZONES_MAX) return NULL;
	struct sl_buf file = SL_BUF_INIT;
	z = SL_NEW(struct aws_zone_rules);
	memcpy(z->name, name.p, name.n);
	bool sound = read_file(name, &file) && read_zone(z, sl_buf_slice(&file));
	sl_buf_fini(&file);
	struct aws_zone_rules *twin = NULL;
	z->next = first;
	while (sound && !twin && !atomic_compare_exchange_strong(bucket, &first, z)) {
		twin = find_known(first, name); /* another thread was faster */
		z->next = first;
	}
	if (sound && !twin) {
		atomic_fetch_add(&n_known, 1);
		return z;
	}
	zone_free(z);
	return twin;
}

/* ---- the face ---- */

/* +hh, +hhmm, +hh:mm, +h */
static bool fixed_offset(struct sl_slice s, int32_t *out) {
	int h, m = 0;
	bool negative = s.n && s.p[0] == '-';
	if (s.n < 2 || (s.p[0] != '+' && s.p[0] != '-')) return false;
	s = slice_from(s, 1);
	if (!take_number(&s, 9999, &h)) return false;
	if (take_char(&s, ':')) {
		if (!take_number(&s, 59, &m)) return false;
	} else if (h > 99) {
		m = h % 100;
		h /= 100;
	}
	if (s.n || h > 18 || m > 59) return false;
	*out = (h * 3600 + m * 60) * (negative ? -1 : 1);
	return true;
}

bool aws_zone_find(struct sl_slice name, struct aws_zone *out) {
	static const char *const utc[] = {"UTC", "GMT", "UT", "Z", "z"};
	*out = (struct aws_zone){0};
	for (size_t i = 0; i < SL_ARRAY_LEN(utc); i++) {
		struct sl_slice word = slice_from_str(utc[i]);
		if (slice_equal(name, word)) return true;
		if (word.n > 1 && slice_starts_with(name, word) && fixed_offset(slice_from(name, word.n), &out->offset))
			return true;
	}
	if (fixed_offset(name, &out->offset)) return true;
	out->rules = rules_of(name);
	return out->rules != NULL;
}

static const struct kind *kind_at(const struct aws_zone_rules *z, int64_t utc) {
	if (z->n_times == 0) return z->ruled ? kind_by_rule(z, utc) : &z->kinds[0];
	if (utc < z->times[0]) return &z->kinds[0];
	if (z->ruled && utc >= z->times[z->n_times - 1]) return kind_by_rule(z, utc);
	uint32_t low = 0, high = z->n_times; /* times[low] <= utc < times[high] */
	while (high - low > 1) {
		uint32_t middle = low + (high - low) / 2;
		if (z->times[middle] <= utc)
			low = middle;
		else
			high = middle;
	}
	return &z->kinds[z->of[low]];
}

struct aws_zone_time aws_zone_at(const struct aws_zone *z, int64_t utc) {
	if (!z->rules) return (struct aws_zone_time){.offset = z->offset};
	const struct kind *k = kind_at(z->rules, utc);
	return (struct aws_zone_time){.offset = k->offset, .letters = k->letters};
}

int32_t aws_zone_offset_of_local(const struct aws_zone *z, int64_t local) {
	int32_t before = aws_zone_at(z, local - 86400).offset, after = aws_zone_at(z, local + 86400).offset;
	if (aws_zone_at(z, local - before).offset == before) return before;
	if (aws_zone_at(z, local - after).offset == after) return after;
	return before;
}

const char *aws_zone_name(const struct aws_zone *z) { return z->rules ? z->rules->name : NULL; }

bool aws_zone_of_file(struct sl_slice file, int64_t utc, int32_t *offset) {
	struct aws_zone_rules *z = SL_NEW(struct aws_zone_rules);
	bool sound = file.n <= FILE_MAX && read_zone(z, file);
	if (sound) *offset = kind_at(z, utc)->offset;
	zone_free(z);
	return sound;
}
