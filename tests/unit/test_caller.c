/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * test_caller.c: what people call a process, and that its arguments may be secrets.
 */
#include "capture_case.h"

#include <sys/prctl.h>
#include <sys/wait.h>

#include "pm_caller.h"

#define ARGUMENTS(p, text)                                                                         \
    do {                                                                                           \
        memcpy((p)->arguments, text, sizeof(text));                                                \
        (p)->length = sizeof(text);                                                                \
    } while (0)

static void a_command_is_the_program_or_script_and_a_word_that_is_known(void **state)
{
    pm_process p = {.pid = 7, .name = "comm"};
    char out[PM_COMMAND_SIZE];

    (void)state;
#define CALLED(text, expected)                                                                     \
    ARGUMENTS(&p, text);                                                                           \
    pm_process_command(&p, out);                                                                   \
    assert_string_equal(out, expected)

    CALLED("/usr/sbin/apache2\0-f\0conf\0-k\0graceful-stop", "apache2 -k graceful-stop");
    CALLED("/bin/sh\0/usr/sbin/apachectl\0stop", "apachectl stop");
    CALLED("/usr/bin/python3.11\0-I\0/usr/bin/certbot\0renew\0--post-hook\0s3cret",
           "certbot renew");
    CALLED("/bin/sh\0-e\0/var/lib/dpkg/info/apache2.prerm\0remove", "apache2.prerm remove");
    CALLED("apt-get\0-y\0install\0apache2-data", "apt-get install");
    CALLED("/bin/sh\0-c\0curl -u user:s3cret https://x | sh", "sh");
    CALLED("python3\0-m\0module", "python3");
    CALLED("perl\0-e\0kill 15, 1", "perl");
    CALLED("/opt/run\0s3cret", "run");
    CALLED("perl\0-I\0/opt/lib\0stop.pl", "perl");
    CALLED("perl\0-w\0/opt/stop.pl\0stop", "stop.pl stop");
    CALLED("bash\0-o\0pipefail\0/opt/renew.sh", "bash");
    CALLED("bash\0-euo\0pipefail\0/opt/renew.sh", "bash");
    CALLED("bash\0-eu\0/opt/renew.sh", "renew.sh");
    CALLED("bash\0-lc\0secret", "bash");
    CALLED("bash\0+x\0/opt/renew.sh", "bash");
    CALLED("python3\0-X\0dev\0stop.py", "python3");
    CALLED("python3\0-u\0stop.py", "stop.py");
    CALLED("ruby\0-C\0/srv\0stop.rb", "ruby");
    CALLED("php\0-d\0memory_limit=1G\0artisan", "php");
    CALLED("php8.2\0-q\0artisan\0down", "artisan down");
    CALLED("node\0--require\0./hook.js\0stop.js", "node");
    CALLED("sh\0--\0/opt/stop.sh", "stop.sh");
    CALLED("perl\0-\0s3cret", "perl");
    CALLED("-bash", "bash");
    CALLED("sshd: root@pts/0", "comm");
    CALLED("/proc/self/fd/3", "");
    CALLED("sh", "sh");
    CALLED("", "");
    p.length = 0;
    pm_process_command(&p, out);
    assert_string_equal(out, "comm");
}

static void this_process_can_be_looked_at_and_one_that_has_ended_cannot(void **state)
{
    pm_process p;
    pid_t ended = fork();

    (void)state;
    if (ended == 0) {
        _exit(0);
    }
    waitpid(ended, NULL, 0);
    pm_process_look(&p, getpid());
    assert_int_equal(p.pid, getpid());
    assert_int_equal(p.parent, getppid());
    assert_string_equal(p.name, "test_caller");
    assert_true(p.length > 0 && strstr(p.arguments, "test_caller") != NULL);
    pm_process_look(&p, ended);
    assert_true(p.parent == 0 && p.name[0] == '\0' && p.length == 0);
}

static void a_name_may_hold_anything(void **state)
{
    pm_process p;

    (void)state;
    assert_int_equal(prctl(PR_SET_NAME, "a) S 1 (b)"), 0);
    pm_process_look(&p, getpid());
    assert_string_equal(p.name, "a) S 1 (b)");
    assert_int_equal(p.parent, getppid());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_command_is_the_program_or_script_and_a_word_that_is_known),
        cmocka_unit_test(this_process_can_be_looked_at_and_one_that_has_ended_cannot),
        cmocka_unit_test(a_name_may_hold_anything),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
