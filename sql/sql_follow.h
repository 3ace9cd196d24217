/* sql_follow.h: what a lemon parser would have taken instead of the token it stumbled over. The text of both grammars' %code
 * sections: it knows the names that lemon gives its tables, so it is included where they are, once in each parser. */
/* Could `token` be shifted, after whatever reductions it calls for? Replays the automaton on a copy of the stack. */
static bool could_follow(const struct yyParser *parser, int token) {
	YYACTIONTYPE states[YYSTACKDEPTH + 1];
	size_t n = 0;
	for (const yyStackEntry *e = parser->yystack; e <= parser->yytos; e++) states[n++] = e->stateno;
	for (int bound = 0; bound < 4 * YYSTACKDEPTH; bound++) {
		YYACTIONTYPE act = yy_find_shift_action((YYCODETYPE)token, states[n - 1]);
		if (act == YY_ERROR_ACTION) return false;
		if (act < YY_MIN_REDUCE) return true; /* a shift, a shift and reduce, or acceptance */
		unsigned rule = (unsigned)(act - YY_MIN_REDUCE);
		n -= (size_t)-yyRuleInfoNRhs[rule];
		YYACTIONTYPE next = yy_find_reduce_action(states[n - 1], yyRuleInfoLhs[rule]);
		if (n > YYSTACKDEPTH) return false;
		states[n++] = next;
	}
	return false;
}
