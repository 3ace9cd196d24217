/* passwd_command.h: `sluice passwd`: sets and deletes passwords in a password file (passwd_file.h).
 *
 *     sluice passwd users.pw alice                 asks twice, without echo; without a terminal reads one line
 *     sluice passwd users.pw alice --delete
 *     sluice passwd users.pw --batch < list        lines "user:password"
 *
 * argv[0] is "passwd". Returns the exit code: 0 fine, 1 input is wrong, 2 usage, 3 the system failed. */
#ifndef PASSWD_COMMAND_H
#define PASSWD_COMMAND_H

int cmd_passwd(int argc, char **argv);

#endif
