/* aws_zone_names.c: what people call time zones in English, in full; see aws_zone.h.
 *
 * tzdata has letters only, and the same ones mean several things: CST is Chicago's, Shanghai's and Havana's. So a row counts for the
 * zones whose names begin with its `where`, and the first that fits is taken. */
#include "aws_zone.h"

static const struct {
	const char *letters, *where, *name;
	const char *zone; /* that text with this name is read in; NULL: another row has it */
} rows[] = {
    {"CET", "", "Central European Standard Time", "Europe/Paris"},
    {"CEST", "", "Central European Summer Time", "Europe/Paris"},
    {"EET", "", "Eastern European Standard Time", "Europe/Bucharest"},
    {"EEST", "", "Eastern European Summer Time", "Europe/Bucharest"},
    {"WET", "", "Western European Standard Time", "Europe/Lisbon"},
    {"WEST", "", "Western European Summer Time", "Europe/Lisbon"},
    {"GMT", "", "Greenwich Mean Time", "GMT"},
    {"BST", "Europe/", "British Summer Time", "Europe/London"},
    {"IST", "Europe/Dublin", "Irish Standard Time", "Europe/Dublin"},
    {"MSK", "", "Moscow Standard Time", "Europe/Moscow"},
    {"CST", "Asia/Taipei", "Taipei Standard Time", "Asia/Taipei"},
    {"CST", "Asia/", "China Standard Time", "Asia/Shanghai"},
    {"CST", "PRC", "China Standard Time", NULL},
    {"CST", "America/Havana", "Cuba Standard Time", "America/Havana"},
    {"CDT", "America/Havana", "Cuba Daylight Time", "America/Havana"},
    {"PST", "Asia/", "Philippine Standard Time", "Asia/Manila"},
    {"EST", "", "Eastern Standard Time", "America/New_York"},
    {"EDT", "", "Eastern Daylight Time", "America/New_York"},
    {"CST", "", "Central Standard Time", "America/Chicago"},
    {"CDT", "", "Central Daylight Time", "America/Chicago"},
    {"MST", "", "Mountain Standard Time", "America/Denver"},
    {"MDT", "", "Mountain Daylight Time", "America/Denver"},
    {"PST", "", "Pacific Standard Time", "America/Los_Angeles"},
    {"PDT", "", "Pacific Daylight Time", "America/Los_Angeles"},
    {"AKST", "", "Alaska Standard Time", "America/Anchorage"},
    {"AKDT", "", "Alaska Daylight Time", "America/Anchorage"},
    {"HST", "", "Hawaii-Aleutian Standard Time", "Pacific/Honolulu"},
    {"HDT", "", "Hawaii-Aleutian Daylight Time", "America/Adak"},
    {"AST", "America/", "Atlantic Standard Time", "America/Halifax"},
    {"AST", "Atlantic/", "Atlantic Standard Time", NULL},
    {"ADT", "", "Atlantic Daylight Time", "America/Halifax"},
    {"NST", "", "Newfoundland Standard Time", "America/St_Johns"},
    {"NDT", "", "Newfoundland Daylight Time", "America/St_Johns"},
    {"JST", "", "Japan Standard Time", "Asia/Tokyo"},
    {"KST", "", "Korean Standard Time", "Asia/Seoul"},
    {"HKT", "", "Hong Kong Standard Time", "Asia/Hong_Kong"},
    {"PKT", "", "Pakistan Standard Time", "Asia/Karachi"},
    {"IST", "Asia/Jerusalem", "Israel Standard Time", "Asia/Jerusalem"},
    {"IST", "Asia/Tel_Aviv", "Israel Standard Time", NULL},
    {"IDT", "", "Israel Daylight Time", "Asia/Jerusalem"},
    {"IST", "Asia/", "India Standard Time", "Asia/Kolkata"},
    {"WIB", "", "Western Indonesia Time", "Asia/Jakarta"},
    {"WITA", "", "Central Indonesia Time", "Asia/Makassar"},
    {"WIT", "", "Eastern Indonesia Time", "Asia/Jayapura"},
    {"AEST", "", "Australian Eastern Standard Time", "Australia/Sydney"},
    {"AEDT", "", "Australian Eastern Daylight Time", "Australia/Sydney"},
    {"ACST", "", "Australian Central Standard Time", "Australia/Adelaide"},
    {"ACDT", "", "Australian Central Daylight Time", "Australia/Adelaide"},
    {"AWST", "", "Australian Western Standard Time", "Australia/Perth"},
    {"NZST", "", "New Zealand Standard Time", "Pacific/Auckland"},
    {"NZDT", "", "New Zealand Daylight Time", "Pacific/Auckland"},
    {"SAST", "", "South Africa Standard Time", "Africa/Johannesburg"},
    {"EAT", "", "East Africa Time", "Africa/Nairobi"},
    {"CAT", "", "Central Africa Time", "Africa/Maputo"},
    {"WAT", "", "West Africa Standard Time", "Africa/Lagos"},
    {"-03", "America/Sao_Paulo", "Brasilia Standard Time", "America/Sao_Paulo"},
    {"-02", "America/Sao_Paulo", "Brasilia Summer Time", "America/Sao_Paulo"},
    {"-03", "America/Argentina/", "Argentina Standard Time", "America/Argentina/Buenos_Aires"},
    {"-04", "America/Santiago", "Chile Standard Time", "America/Santiago"},
    {"-03", "America/Santiago", "Chile Summer Time", "America/Santiago"},
    {"-05", "America/Bogota", "Colombia Standard Time", "America/Bogota"},
    {"-05", "America/Lima", "Peru Standard Time", "America/Lima"},
    {"+03", "Asia/Riyadh", "Arabian Standard Time", "Asia/Riyadh"},
    {"+04", "Asia/Dubai", "Gulf Standard Time", "Asia/Dubai"},
    {"+06", "Asia/Dhaka", "Bangladesh Standard Time", "Asia/Dhaka"},
    {"+07", "Asia/Bangkok", "Indochina Time", "Asia/Bangkok"},
    {"+07", "Asia/Ho_Chi_Minh", "Indochina Time", NULL},
    {"+08", "Asia/Singapore", "Singapore Standard Time", "Asia/Singapore"},
    {"+08", "Asia/Kuala_Lumpur", "Malaysia Time", "Asia/Kuala_Lumpur"},
    {"UTC", "", "Coordinated Universal Time", "UTC"},
};

const char *aws_zone_long_name(const char *zone, const char *letters) {
	struct sl_slice name = slice_from_str(zone);
	for (size_t i = 0; i < SL_ARRAY_LEN(rows); i++)
		if (strcmp(rows[i].letters, letters) == 0 && slice_starts_with(name, slice_from_str(rows[i].where)))
			return rows[i].name;
	return NULL;
}

const char *aws_zone_of_long_name(struct sl_slice *text) {
	for (size_t i = 0; i < SL_ARRAY_LEN(rows); i++) {
		struct sl_slice name = slice_from_str(rows[i].name);
		if (!rows[i].zone || !slice_starts_with(*text, name)) continue;
		*text = slice_from(*text, name.n);
		return rows[i].zone;
	}
	return NULL;
}
