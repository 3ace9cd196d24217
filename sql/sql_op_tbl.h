/* sql_op_tbl.h: the steps a program is made of: SQL_OP(name, effect).
 *
 * In an effect %d is the register written, %a and %b are operands (a register rN or a constant), %p a payload path, %c a
 * column, %f a function, %r a run of registers, %j the step jumped to, %n a number. EXPLAIN prints the effect with these filled in; enum and
 * dispatch are made from the same rows.
 * ORDER COMPARE: EQ .. GE, EQ_N .. GE_N and the six in enum sql_binary have the same order. */
/* where values come from */
SQL_OP(COLUMN, "%d = column %c")
SQL_OP(METADATA, "%d = metadata of the run")
SQL_OP(PATH, "%d = payload at %p")
SQL_OP(MOVE, "%d = %a")
SQL_OP(OUTPUT, "%d = output column %n")
/* taking apart, putting together */
SQL_OP(MEMBER, "%d = member %b of %a")
SQL_OP(INDEX, "%d = element %b of %a")
SQL_OP(SLICE, "%d = elements from %b to the next register's of %a")
SQL_OP(RANGE, "%d = integers from %a to %b")
SQL_OP(LIST, "%d = [%r]")
SQL_OP(PUT, "%d = %a with %b put at %t")
/* arithmetic and text; NULL in, NULL out */
SQL_OP(NEGATE, "%d = - %a")
SQL_OP(ADD, "%d = %a + %b")
SQL_OP(SUB, "%d = %a - %b")
SQL_OP(MUL, "%d = %a * %b")
SQL_OP(DIV, "%d = %a / %b")
SQL_OP(IDIV, "%d = %a div %b")
SQL_OP(MOD, "%d = %a mod %b")
SQL_OP(CONCAT, "%d = %a || %b")
/* comparisons of anything */
SQL_OP(EQ, "%d = %a = %b")
SQL_OP(NE, "%d = %a != %b")
SQL_OP(LT, "%d = %a < %b")
SQL_OP(LE, "%d = %a <= %b")
SQL_OP(GT, "%d = %a > %b")
SQL_OP(GE, "%d = %a >= %b")
/* comparisons with a constant number */
SQL_OP(EQ_N, "%d = %a = number %b")
SQL_OP(NE_N, "%d = %a != number %b")
SQL_OP(LT_N, "%d = %a < number %b")
SQL_OP(LE_N, "%d = %a <= number %b")
SQL_OP(GT_N, "%d = %a > number %b")
SQL_OP(GE_N, "%d = %a >= number %b")
/* comparisons with a constant text */
SQL_OP(EQ_S, "%d = %a = text %b")
SQL_OP(NE_S, "%d = %a != text %b")
SQL_OP(MATCH, "%d = topic %a matches filter %b")
SQL_OP(LIKE, "%d = %a like %b")
SQL_OP(SAME, "%d = %a is exactly %b")
SQL_OP(IN, "%d = %a is exactly an element of %b")
SQL_OP(IS_NULL, "%d = %a is null")
/* conditions: NULL is not met, anything but a boolean fails */
SQL_OP(NOT, "%d = not %a")
SQL_OP(COND, "%d = %a as a condition")
SQL_OP(JUMP, "go to %j")
SQL_OP(JUMP_FALSE, "unless %a go to %j")
SQL_OP(JUMP_TRUE, "if %a go to %j")
SQL_OP(JUMP_VALUE, "if %a is not null go to %j")
/* an alias used in WHERE is evaluated once */
SQL_OP(IF_DONE, "if alias %n is evaluated go to %j")
SQL_OP(DONE, "alias %n is evaluated")
SQL_OP(UNDO, "alias %n is not evaluated")
SQL_OP(CALL, "%d = %f(%r)")
/* the frame of a run */
SQL_OP(REJECT, "end: no row")
SQL_OP(EACH, "for each element of %a")
SQL_OP(NEXT, "%d = next element, or go to %j")
SQL_OP(EMIT, "give out %r as a row")
SQL_OP(HALT, "end")
SQL_OP(RESULT, "result is %a")
