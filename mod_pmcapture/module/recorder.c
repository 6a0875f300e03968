/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * recorder.c: the recorder processes.
 *
 * Two of them, alike: the one that holds the lease (pm_lease.h) ticks, the other waits. The waiting one takes over
 * when the lease is free, and sees to it that it becomes free when its holder shows no sign of life: a stopped
 * process would otherwise keep it until the parent's next look, which may be ten seconds away. The parent forks them with each
 * generation, because they work by its configuration, and again when one dies.
 */
#include "module.h"

#include <ap_mpm.h>
#include <apr_strings.h>
#include <apr_thread_proc.h>
#include <fcntl.h>
#include <http_main.h>
#include <mpm_common.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <unixd.h>

#include "pm_descriptors.h"
#include "pm_lease.h"
#include "pm_time.h"
#include "retained.h"
#include "watch.h"

APLOG_USE_MODULE(pmcapture);

#define STANDBY_POLL_US 400000u
#define STALE_US (1700 * 1000ull) /* a tick is a second; with the poll, taken over within 3 s */
#define STALE_WRITING_US (30 * PM_SECOND) /* a slow disk is no dead recorder */
#define STOP_WAIT_MS 1500
#define RESPAWN_US PM_SECOND
#define LEAVERS 8
#define LOAD_WAIT_MS 3000

#define ORPHAN_POLL_US 50000u /* how exactly the end of the last orphan is known */

static volatile sig_atomic_t told_to_go;
static apr_proc_t recorders[2];
static apr_pool_t *recorder_pool;
static server_rec *recorder_server;

static void on_term(int sig)
{
    (void)sig;
    told_to_go = 1;
}

/** The parent is gone: all that there is to do is to end the nap. */
static void on_orphaned(int sig)
{
    (void)sig;
}

/* ---- becoming a recorder ---- */

static int by_number(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

/** A helper that keeps the listening sockets makes the next start fail: all is closed but what it works with. */
static void close_descriptors(server_rec *s)
{
    int keep[] = {2,  2, pm_capture_fd(pm.capture), pm_capture_lock_fd(pm.capture), pm.event_log,
                  -1, -1};
    unsigned from = 3;

    if (s->error_log == NULL || apr_os_file_get(&keep[1], s->error_log) != APR_SUCCESS) {
        keep[1] = 2;
    }
    pm_config_descriptors(&keep[5]);
    qsort(keep, sizeof(keep) / sizeof(keep[0]), sizeof(keep[0]), by_number);
    for (size_t i = 0; i < sizeof(keep) / sizeof(keep[0]); i++) {
        if (keep[i] >= (int)from) {
            pm_descriptors_close(from, (unsigned)keep[i] - 1);
            from = (unsigned)keep[i] + 1;
        }
    }
    pm_descriptors_close(from, ~0u);
    pm.read_fd = -1;
}

static void set_signals(void)
{
    struct sigaction term = {.sa_handler = on_term}, ignore = {.sa_handler = SIG_IGN},
                     usual = {.sa_handler = SIG_DFL}, orphaned = {.sa_handler = on_orphaned};
    sigset_t none;

    for (int sig = 1; sig < 32; sig++) {
        sigaction(sig, &usual, NULL);
    }
    sigaction(SIGTERM, &term, NULL);
    sigaction(SIGUSR2, &orphaned, NULL);
    /* What the parent's process group is told does not concern it. */
    sigaction(SIGHUP, &ignore, NULL);
    sigaction(SIGUSR1, &ignore, NULL);
    sigaction(SIGINT, &ignore, NULL);
    sigaction(SIGWINCH, &ignore, NULL);
    sigaction(SIGPIPE, &ignore, NULL);
    sigaction(SIGXFSZ, &ignore, NULL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* ---- what a tick needs to know of httpd ---- */

static void count_workers(void *ctx, uint32_t *busy, uint32_t *idle, uint32_t *limit)
{
    int processes = 0, threads = 0, daemons = 0, per_child = 0;

    (void)ctx;
    if (ap_scoreboard_image == NULL) {
        return;
    }
    ap_mpm_query(AP_MPMQ_HARD_LIMIT_DAEMONS, &processes);
    ap_mpm_query(AP_MPMQ_HARD_LIMIT_THREADS, &threads);
    ap_mpm_query(AP_MPMQ_MAX_DAEMONS, &daemons);
    ap_mpm_query(AP_MPMQ_MAX_THREADS, &per_child);
    *busy = *idle = 0;
    *limit = (uint32_t)(daemons * (per_child > 0 ? per_child : 1));
    for (int i = 0; i < processes; i++) {
        process_score *ps = ap_get_scoreboard_process(i);

        for (int j = 0; ps != NULL && ps->pid != 0 && j < (threads > 0 ? threads : 1); j++) {
            int status = ap_get_scoreboard_worker_from_indexes(i, j)->status;

            if (status == SERVER_READY) {
                *idle += !ps->quiescing;
            }
            else if (status != SERVER_DEAD && status != SERVER_STARTING &&
                     status != SERVER_IDLE_KILL) {
                *busy += 1;
            }
        }
    }
}

static void say(void *ctx, int severity, const char *sentence)
{
    pm_say(ctx, severity == PM_CRITICAL ? APLOG_CRIT : APLOG_WARNING, sentence);
}

static void host_id(char out[40])
{
    char id[64] = "";
    int fd = open("/etc/machine-id", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, id, sizeof(id));
    uint64_t hash = 14695981039346656037ull;

    if (fd >= 0) {
        close(fd);
    }
    for (ssize_t i = 0; i < n; i++) { /* FNV-1a: the id itself is not to leave the machine */
        hash = (hash ^ (uint8_t)id[i]) * 1099511628211ull;
    }
    if (n > 0) {
        apr_snprintf(out, 40, "%016" APR_UINT64_T_HEX_FMT, hash);
    }
}

static void fill_server(pm_server *to)
{
    const pm_retained *kept = pm_retained_get();
    struct stat st;

    to->started_us = kept->started_us;
    to->config_loaded_us = kept->reload_us != 0 ? kept->reload_us : kept->started_us;
    to->reload_us = kept->reload_us;
    to->pid = (uint32_t)kept->parent;
    to->pid_start = pm.live.parent_start;
    to->generation = pm.generation;
    to->watched =
        PM_WATCHED_CRASHES | (pm_watch_is_on() && pm_load_is_told() ? PM_WATCHED_FILES : 0);
    if (fstat(pm_capture_fd(pm.capture), &st) == 0) {
        to->file_dev = (uint64_t)st.st_dev;
        to->file_ino = (uint64_t)st.st_ino;
    }
    to->pid_namespace = pm_pid_namespace();
    pm_boot_id(to->boot_id);
    gethostname(to->host_name, sizeof(to->host_name) - 1);
    host_id(to->host_id);
    apr_cpystrn(to->software, ap_get_server_description(), sizeof(to->software));
    apr_cpystrn(to->mpm, ap_show_mpm(), sizeof(to->mpm));
    apr_cpystrn(to->module_version, PM_VERSION, sizeof(to->module_version));
    apr_cpystrn(to->trouble, pm.trouble, sizeof(to->trouble));
}

static pm_fold *make_fold(apr_pool_t *p, server_rec *main_server)
{
    uint32_t room = pm.live.geo.vhosts;
    pm_fold *f = apr_pcalloc(p, sizeof(*f));
    pm_burst_rule *burst = apr_palloc(p, room * sizeof(*burst));
    pm_slow_rule *slow = apr_palloc(p, room * sizeof(*slow));
    const char **names = apr_pcalloc(p, room * sizeof(*names));
    const char **defined = apr_pcalloc(p, room * sizeof(*defined));
    const pm_server_conf *main_conf = pm_conf_of(main_server);

    for (uint32_t v = 0; v < room; v++) {
        burst[v] = main_conf->burst;
        slow[v] = main_conf->slow;
        /* One that this generation lacks may still be served by the last one's processes. */
        names[v] = pm.state->vhost_name[v][0] ? pm.state->vhost_name[v] : NULL;
    }
    for (server_rec *s = main_server; s != NULL; s = s->next) {
        uint32_t v = pm_conf_of(s)->vhost;

        if (v != 0) {
            burst[v] = pm_conf_of(s)->burst;
            slow[v] = pm_conf_of(s)->slow;
            defined[v] = s->defn_name != NULL
                             ? apr_psprintf(p, "%s:%u", s->defn_name, s->defn_line_number)
                             : NULL;
        }
    }
    *f = (pm_fold){.state = pm.state,
                   .live = &pm.live,
                   .capture = pm.capture,
                   .burst = main_conf->burst,
                   .slow = main_conf->slow,
                   .vhost_burst = burst,
                   .vhost_slow = slow,
                   .vhost_names = names,
                   .vhost_defined = defined,
                   .samples = pm_config->samples,
                   .clients = pm_config->clients != PM_CLIENTS_OFF,
                   .workers = count_workers,
                   .say = say,
                   .ctx = main_server};
    for (uint32_t i = 0; i < PM_OLD_REGIONS; i++) {
        f->old[i] = pm.old[i].header != NULL ? &pm.old[i] : NULL;
    }
    fill_server(&f->server);
    return f;
}

/* ---- the loop ---- */

static void nap(uint64_t us)
{
    struct timespec t = {(time_t)(us / PM_SECOND), (long)(us % PM_SECOND * 1000)};

    if (!told_to_go) {
        nanosleep(&t, NULL); /* a signal ends it early */
    }
}

static int is_recorder(pid_t pid)
{
    for (int i = 0; i < 4; i++) {
        if (pid > 0 && atomic_load(&pm.state->recorder[i]) == (uint32_t)pid) {
            return 1;
        }
    }
    return 0;
}

/** No sign of life from the lease's holder: end it, whatever it is doing. Killed, not asked: a stopped process would
 *  not listen, and one that came back later would write over its successor's work. */
static void fence_stale_holder(uint64_t now)
{
    uint64_t beat = atomic_load(&pm.state->heartbeat_us);
    uint64_t writing = atomic_load(&pm.state->writing_us);
    pid_t holder;

    if (beat == 0 || now < beat + STALE_US || (writing != 0 && now < writing + STALE_WRITING_US)) {
        return;
    }
    holder = pm_lease_holder(pm.capture);
    if (is_recorder(holder) && holder != getpid()) {
        kill(holder, SIGKILL);
    }
}

/** 1 when there is nothing left to record: the parent has gone, and no worker lives on. */
static int all_gone(pm_fold *f, pid_t parent)
{
    if (getppid() == parent) {
        return 0;
    }
    f->server.orphaned = 1;
    return pm_live_children_alive(&pm.live, 1) == 0;
}

/** Wait for the lease; 0 when told to go before it came. */
static int wait_for_lease(pm_fold *f, pid_t parent)
{
    uint64_t born = pm_time_monotonic();

    while (!pm_lease_take(pm.capture)) {
        uint64_t now = pm_time_monotonic();

        if (told_to_go || all_gone(f, parent)) {
            return 0;
        }
        fence_stale_holder(now);
        /* Just after a reload the last generation's is on its way out. */
        nap(now < born + 2 * PM_SECOND ? 50000 : STANDBY_POLL_US);
    }
    return atomic_load(&pm.state->deserted) == 0;
}

/** Ticks fall on whole seconds of the wall clock, so that a row is a second of the calendar. The sleep goes by the
 *  monotonic clock, which the wall clock may run a little behind: a tick too early would be two. It ends as soon as
 *  nobody is left who could serve: the last tick says when that was. */
static void sleep_to_next_second(pm_fold *f, pid_t parent)
{
    uint64_t until = (pm_time_now() / PM_SECOND + 1) * PM_SECOND;
    uint64_t latest =
        pm_time_monotonic() + PM_SECOND + 100000; /* whatever becomes of the wall clock */

    while (!told_to_go && !all_gone(f, parent) && pm_time_now() < until &&
           pm_time_monotonic() < latest) {
        uint64_t now = pm_time_now(), left = now < until ? until - now + 50 : 0;
        uint64_t most = f->server.orphaned ? ORPHAN_POLL_US : PM_SECOND;

        nap(left < most ? left : most);
    }
}

static void record_ticks(pm_fold *f, apr_pool_t *pool, pid_t parent)
{
    for (;;) {
        uint64_t failures = pm.state->checkpoint.server.write_failures;
        int leaving;

        if (f->watch == NULL && pm_load_is_told()) {
            pm_watch_record(f, pool);
        }
        sleep_to_next_second(f, parent);
        leaving = all_gone(f, parent) || (told_to_go && atomic_load(&pm.state->stopping));
        if (told_to_go && !leaving) {
            return; /* a reload: the next generation's takes the tick */
        }
        pm_fold_tick(f, pm_time_now(), pm_time_monotonic());
        pm_eventlog_tick(f);
        if (leaving) {
            uint32_t one = 1;

            atomic_store(&pm.state->deserted, f->server.orphaned);
            /* The live region may go, unless what it holds is nowhere else. */
            if (pm.state->checkpoint.server.write_failures == failures) {
                atomic_compare_exchange_strong(&pm.state->stopping, &one, 2);
            }
            return;
        }
    }
}

/** The first recorder finds out what was loaded; the other one waits until it has, but not for ever: then nothing is
 *  watched until it has. */
static void take_load(int number, apr_pool_t *pool, server_rec *s)
{
    if (number == 0) {
        pm_load_tell(pool, s);
    }
    for (int ms = 0; ms < LOAD_WAIT_MS && !pm_load_is_told() && !told_to_go; ms += 20) {
        nap(20000);
    }
    pm_config_leave();
}

/** A tick waits for its turn rather than interrupt a worker that serves: a process of this kind keeps its fair share of
 *  a busy machine, and only does not preempt others when it wakes. Where somebody has chosen otherwise, or it is not
 *  allowed, all stays as it is. */
static void give_way(void)
{
    struct sched_param none = {0};

    if (sched_getscheduler(0) == SCHED_OTHER) {
        sched_setscheduler(0, SCHED_BATCH, &none);
    }
}

static void recorder_main(int number, apr_pool_t *pconf, server_rec *s, pid_t parent)
{
    apr_pool_t *pool;
    pm_error err;
    pm_fold *f;

    setpgid(0, 0);
    set_signals();
    pm_guard_install();
    prctl(PR_SET_NAME, "pmcapture");
    give_way();
    close_descriptors(s);
    apr_pool_create(&pool, pconf);
    take_load(number, pool, s);
    if (geteuid() == 0 && ap_run_drop_privileges(pconf, s) != 0) {
        _exit(1);
    }
    prctl(PR_SET_DUMPABLE, 0);
    prctl(PR_SET_PDEATHSIG, SIGUSR2); /* with the change of user it would be lost */
    f = make_fold(pool, s);
    if (!wait_for_lease(f, parent)) {
        _exit(0);
    }
    if (pm_fold_begin(f, pm_time_now(), pm_time_monotonic(), pool, &err) != APR_SUCCESS) {
        pm_say(s, APLOG_CRIT, apr_psprintf(pool, "Nothing is recorded: %s", err.text));
        _exit(1);
    }
    record_ticks(f, pool, parent);
    _exit(0);
}

/* ---- the parent's side ---- */

static void spawn(int i);

static int is_serving(void)
{
    return ap_state_query(AP_SQ_MAIN_STATE) == AP_SQ_MS_RUN_MPM &&
           !ap_unixd_mpm_get_retained_data()->shutdown_pending;
}

/** Called by the MPM when a recorder has died, and when its registration ends. */
static void recorder_changed(int reason, void *data, int status)
{
    int i = (int)(intptr_t)data;
    static uint64_t last[2];
    uint64_t now = pm_time_monotonic();

    (void)status;
    if (reason != APR_OC_REASON_DEATH && reason != APR_OC_REASON_LOST) {
        return;
    }
    apr_proc_other_child_unregister(data);
    pm_retained_get()->recorder[i] =
        0; /* its pid may be another's soon, who is not to get our signals */
    if (is_serving() && (last[i] == 0 || now > last[i] + RESPAWN_US)) {
        last[i] = now;
        spawn(i);
    }
}

static void spawn(int i)
{
    pm_retained *kept = pm_retained_get();
    pid_t parent = getpid(), pid = fork();

    if (pid == 0) {
        recorder_main(i, recorder_pool, recorder_server, parent);
    }
    if (pid < 0) {
        pm_say(recorder_server, APLOG_CRIT,
               "the recorder process could not be started: fork failed");
        kept->recorder[i] = 0;
        return;
    }
    kept->recorder[i] = pid;
    atomic_store(&pm.state->recorder[i], (uint32_t)pid);
    recorders[i].pid = pid;
    recorders[i].in = recorders[i].out = recorders[i].err = NULL;
    apr_proc_other_child_register(&recorders[i], recorder_changed, (void *)(intptr_t)i, NULL,
                                  recorder_pool);
}

/** Those that died again at once, or could not be forked then. */
void pm_recorders_check(void)
{
    const pm_retained *kept = pm_retained_get();

    for (int i = 0; i < 2 && pm.state != NULL && recorder_pool != NULL; i++) {
        if (kept->recorder[i] == 0 && is_serving()) {
            spawn(i);
        }
    }
}

static void forget_leaver(int reason, void *data, int status)
{
    apr_proc_t *leaver = data;
    pm_retained *kept = pm_retained_get();

    (void)status;
    if (reason == APR_OC_REASON_DEATH || reason == APR_OC_REASON_LOST) {
        apr_proc_other_child_unregister(data);
        for (int i = 0; i < LEAVERS; i++) {
            kept->leaving[i] = kept->leaving[i] == leaver->pid ? 0 : kept->leaving[i];
        }
    }
}

/** The last generation's recorders go. Known to the new generation until they have, or the MPM would call each
 *  a long lost child; quick reloads can have those of several generations leaving at one time. */
static void dismiss(apr_pool_t *pconf, pm_retained *kept, const pid_t old[2])
{
    static apr_proc_t leaving[LEAVERS];

    for (int i = 0, n = 0; i < LEAVERS && n < 2; i++) {
        if (kept->leaving[i] == 0) {
            kept->leaving[i] = old[n++];
        }
    }
    for (int i = 0; i < LEAVERS; i++) {
        if (kept->leaving[i] > 0 && kill(kept->leaving[i], SIGTERM) == 0) {
            leaving[i].pid = kept->leaving[i];
            apr_proc_other_child_register(&leaving[i], forget_leaver, &leaving[i], NULL, pconf);
        }
        else {
            kept->leaving[i] = 0;
        }
    }
}

void pm_recorders_dismiss(apr_pool_t *pconf)
{
    pm_retained *kept = pm_retained_get();
    pid_t old[2] = {kept->recorder[0], kept->recorder[1]};

    kept->recorder[0] = kept->recorder[1] = 0;
    dismiss(pconf, kept, old);
}

void pm_recorders_start(apr_pool_t *pconf, server_rec *s)
{
    pm_retained *kept = pm_retained_get();
    pid_t old[2] = {kept->recorder[0], kept->recorder[1]};

    recorder_pool = pconf;
    recorder_server = s;
    for (int i = 0; i < 2; i++) {
        atomic_store(&pm.state->recorder[i + 2], (uint32_t)old[i]);
        spawn(i);
    }
    dismiss(pconf, kept, old);
}

void pm_recorders_stop(void)
{
    pm_retained *kept = pm_retained_get();

    if (pm.state == NULL) {
        return;
    }
    atomic_store(&pm.state->stopping, 1);
    for (int i = 0; i < 2; i++) {
        if (kept->recorder[i] > 0) {
            kill(kept->recorder[i], SIGTERM);
        }
    }
    /* The stop returns when the record is complete, or after a moment: it is not ours to hold up. */
    for (int ms = 0; ms < STOP_WAIT_MS; ms += 10) {
        int left = 0;

        for (int i = 0; i < 2; i++) {
            if (kept->recorder[i] > 0 && waitpid(kept->recorder[i], NULL, WNOHANG) == 0) {
                left = 1;
            }
            else {
                kept->recorder[i] = 0;
            }
        }
        if (!left) {
            return;
        }
        usleep(10000);
    }
}
