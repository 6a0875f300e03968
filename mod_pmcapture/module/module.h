/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * module.h: what the parts that see httpd share.
 *
 *   mod_pmcapture.c   the module: hook table, command table
 *   directives.c      the directives
 *   record.c          requests -> live region (the hot path), samples
 *   connections.c     listeners, connections that bring no request, the recorder's probes
 *   where.c           what a request was about: route, Host, backend, who asked
 *   answered.c        whether httpd itself answered a request that failed
 *   moved.c           a Host that another virtual host serves since a reload
 *   backend.c         how a request's backend failed, by what httpd's proxy says
 *   errorlog.c        lines of the error log, counted
 *   status_hook.c     a section on mod_status's page
 *   successor.c       descriptors go to the next configuration, or are closed
 *   retained.c        what the parent remembers across reloads, and how the module speaks
 *   lifecycle.c       start, reload, stop: who may touch what
 *   capture_file.c    the capture file: found, made
 *   region.c          the live region: found, made
 *   vhosts.c          numbers of virtual hosts
 *   events.c          events that the parent writes itself
 *   load.c            a load of the configuration: a process that gathers what it brought
 *   recorder.c        the recorder program: started, handed over to, stopped
 *   handover.c        what it is handed over (recorder.h)
 *   service.c         a recorder that is a service of its own (service.h)
 *   scoreboard.c      httpd's scoreboard, where the recorder can read it
 *   signals.c         who asked httpd to stop
 *   pid_file.c        the process that the PID file names
 *   shortage.c        what the machine had no more of when a start failed
 *   command.c         what this process was started as
 *   refused.c         what httpd said before it refused a configuration, or ended
 *   process.c         a worker's place in the live region
 *   children.c        worker processes that died
 *   eventlog.c        PMCaptureEventLog
 *   handler.c         /pm-status
 *   relay.c           a worker's question to the recorder (relay.h)
 *   listen.c          PMCaptureListen
 *   watch.c           which files are watched (watch.h)
 *   objects.c         what is mapped into the server
 *   config.c          what configuration runs
 *   defines.c         which names this load has defined
 */
#ifndef PM_MODULE_H
#define PM_MODULE_H

#include <httpd.h>
#include <ap_mpm.h>
#include <http_config.h>
#include <http_core.h>
#include <http_log.h>
#include <http_protocol.h>
#include <scoreboard.h>

#include "pm_capture.h"
#include "pm_config.h"
#include "pm_control.h"
#include "pm_detect.h"
#include "pm_guard.h"
#include "pm_handover.h"
#include "pm_listen.h"
#include "pm_live.h"
#include "pm_route.h"
#include "pm_text.h"
#include "pm_version.h"

/** PMCaptureWatch: a path as given, and where. */
typedef struct pm_watch_path {
    const char *path, *where;
} pm_watch_path;

/** Directives that exist once. Lives in pconf. */
typedef struct pm_global {
    const char *file;       /* PMCaptureFile as given; NULL = none */
    const char *file_where; /* "file:line" of it */
    pm_retention keep;
    enum pm_clients_mode clients;
    int query;
    const char *event_log; /* PMCaptureEventLog; NULL = none */
    const char *recorder;  /* PMCaptureRecorder: a path, "unix:PATH", "off"; NULL = auto */
    uint64_t stopped_us;   /* PMCaptureStopped; 0 = Off */
    uint32_t samples;
    apr_array_header_t *watch;  /* of pm_watch_path; NULL = none */
    apr_array_header_t *listen; /* PMCaptureListen: of const char *; NULL = none */
    enum pm_config_detail diff; /* PMCaptureConfigDiff */
    pm_probe_rule probe;        /* PMCaptureProbe */
} pm_global;

/** Per server. A rule's members that were given are bits in *_set: they are merged one by one. */
typedef struct pm_server_conf {
    pm_burst_rule burst;
    pm_slow_rule slow;
    pm_served_rule served;
    uint32_t burst_set, slow_set, served_set;
    uint32_t vhost;                    /* number in the live region, from post_config on */
    const apr_array_header_t *sockets; /* proxy workers on Unix sockets (where.c); NULL = none */
} pm_server_conf;

/** Per directory: PMCapture. */
typedef struct pm_dir_conf {
    int record; /* -1 = not given */
} pm_dir_conf;

/** Where requests for one server are counted: found out once rather than with each request. */
typedef struct pm_place {
    const server_rec *server;  /* NULL = none yet */
    _Atomic uint64_t noted;    /* epoch in which its client was counted there */
    _Atomic uint64_t quick_us; /* what takes no longer is neither slow nor the longest */
    apr_sockaddr_t *client;    /* the connection's */
    pm_stripe *stripe;
    pm_vhost_count *count; /* of that server, in the stripe; its latencies */
    _Atomic uint64_t *hist;
    _Atomic uint32_t *incident;
    uint32_t who;           /* as pm_flight's */
    _Atomic uint32_t taken; /* by the first stream of an HTTP/2 connection (PM_PLACE_*) */
} pm_place;
enum { PM_PLACE_FREE, PM_PLACE_BUSY, PM_PLACE_KNOWN };

/** A request under way. A connection has one of these, and more while requests are pipelined. */
typedef struct pm_conn {
    request_rec *r;        /* NULL = none */
    pm_flight *flight;     /* its slot; NULL = none */
    uint64_t first_out_us; /* when the reply began; 0 = not yet */
    uint64_t waited_us;    /* for the client's request body */
    ap_filter_t *sending;  /* whose ctx this is, as long as the handler may have more to send */
    pm_place *place;       /* its own, or the one that the streams of a connection share */
    pm_flight *slot;       /* where its requests are in flight, most times */
    pm_named *named;       /* what for, in that slot */
    struct pm_conn
        *more; /* for a request that arrives before this one is done; NULL = none came yet */
    /* Of its listener, until it brings a request; NULL = it did. HTTP/2's streams, which are threads, share it. */
    pm_door_count *_Atomic door;
    uint32_t probe;        /* 1: the recorder's own, which counts for nothing */
    pm_place own, streams; /* the latter for those of HTTP/2 */
} pm_conn;

/** This process's view; set in post_config, inherited by every child. */
typedef struct pm_glue {
    pm_live live; /* live.header == NULL: nothing is recorded */
    apr_pool_t *pconf;
    pm_capture *capture; /* the parent's */
    const char *capture_path;
    const char *run_dir;
    pm_control *control; /* the parent's and the recorder's; NULL = none */
    pm_live old[PM_OLD_REGIONS];
    int event_log;  /* descriptor of PMCaptureEventLog's target; -1 = none */
    uint32_t child; /* this process's number in the live region; PM_NO_CHILD */
    uint32_t generation;
    char trouble[256]; /* what is not recorded, one sentence */
} pm_glue;

/* Hidden, and so found without a look into a table: the good request's path counts its instructions. */
#define PM_HIDDEN __attribute__((visibility("hidden")))

extern module AP_MODULE_DECLARE_DATA pmcapture_module;
extern PM_HIDDEN module pm_module; /* pmcapture_module by another name */
extern PM_HIDDEN pm_glue pm;
extern PM_HIDDEN pm_global *pm_config;

/* directives.c */
extern const command_rec pm_commands[];
void *pm_create_server_conf(apr_pool_t *p, server_rec *s);
void *pm_merge_server_conf(apr_pool_t *p, void *base, void *add);
void *pm_create_dir_conf(apr_pool_t *p, char *dir);
void *pm_merge_dir_conf(apr_pool_t *p, void *base, void *add);
void pm_global_defaults(apr_pool_t *pconf);

static inline pm_server_conf *pm_conf_of(const server_rec *s)
{
    return ap_get_module_config(s->module_config, &pm_module);
}

/* record.c */
static inline int pm_is_recorded(const request_rec *r)
{
    const pm_dir_conf *c = ap_get_module_config(r->per_dir_config, &pm_module);

    return c->record != 0;
}
int pm_request_arrived(request_rec *r);
void pm_request_excluded(request_rec *r);
int pm_request_done(request_rec *r);
int pm_connection_opened(conn_rec *c, void *socket);
void pm_register_filters(void);

/* connections.c */
/** In post_config. */
void pm_connections_prepare(void);
/** What httpd listens on, as many as there is room for; and how many `more`. */
uint32_t pm_listeners_list(pm_listener *to, uint32_t room, uint32_t *more);
/** One of a client, or of the recorder. */
void pm_connection_begins(const conn_rec *c, pm_conn *pc);
/** Its first request is there. */
void pm_connection_brings(pm_conn *pc);
/** A probe's request is done; gives what `own`, our log_transaction hook, returns. */
int pm_probe_done(request_rec *r, ap_HOOK_log_transaction_t *own);

/* where.c */
/** Once in a process, or in one that it is forked from. */
void pm_where_prepare(void);
/** What a request was about, as it may be kept. */
typedef struct pm_where {
    char route[PM_ROUTE_SIZE];
    char host[96];
    char backend[128]; /* "" = none */
    char method[16];
    uint32_t failure; /* PM_FAILURE_*, of the backend */
} pm_where;
/** Which of a server's proxy workers are Unix sockets: a request does not say that. In post_config. */
void pm_where_learn_sockets(apr_pool_t *pconf, const server_rec *s);
void pm_where_fill(pm_where *w, const request_rec *r, uint32_t status);
/** `incident`: the one that is open, 0 = none. */
void pm_where_count(const pm_where *w, const request_rec *r, const pm_completed *done, int failed,
                    uint32_t incident);
/** Leave a note of the open incident for those who log the request after us. */
void pm_where_mark(request_rec *r, uint32_t incident);
/** Health checkers, exporters and the like, by user agent. */
int pm_is_monitor(const request_rec *r);

/* answered.c */
/** In post_config: what the modules of this configuration may do. */
void pm_answered_prepare(void);
/** 1 when no other process can have been asked: a backend, a program, a daemon, a directory or database of users. */
int pm_answered_itself(const request_rec *r);

/* moved.c */
/** Tells when the request's Host was served by another virtual host before a reload. */
void pm_where_check_host(request_rec *r, uint32_t vhost);

/* backend.c */
void pm_register_backend(void);
/** A handler is about to be called: what its thread heard before is another request's. */
void pm_backend_begin(const request_rec *r);
/** A line of the error log with this APLOGNO and status. Async-signal-safe. */
void pm_backend_heard(unsigned number, apr_status_t status);
/** How a request's backend failed; PM_FAILURE_NONE when it did not, or the proxy had no part in it. */
uint32_t pm_backend_failure(const request_rec *r);

/* errorlog.c */
/** Async-signal-safe. */
void pm_line_logged(const ap_errorlog_info *info, const char *message);
/** Before the first line: look up what error numbers mean. */
void pm_lines_prepare(void);
/** What a worker has said since then that may end the whole server; 0 when none has. Async-signal-safe. */
int pm_last_words(uint64_t since_us, char out[PM_KEY]);

/* status_hook.c */
void pm_register_status_hook(void);

/* lifecycle.c */
int pm_post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s);
int pm_pre_mpm(apr_pool_t *p, ap_scoreboard_e type);
int pm_monitor(apr_pool_t *p, server_rec *s);
void pm_child_init(apr_pool_t *pchild, server_rec *s);

/* successor.c */
void pm_register_successor(void);
/** The configuration goes: its descriptors are the next one's, or nobody's. */
void pm_leave_to_successor(void);

/* retained.c */
void pm_say(server_rec *s, int level, const char *sentence);

/* events.c */
/** Something is not recorded: the error log says it now, /pm-status as long as it lasts. */
void pm_trouble(server_rec *s, const char *sentence);
/** An event of the parent's own, in the file when this returns (the next tick flushes it to the disk). Bounded wait; if
 *  the file is locked for longer the recorder writes it, without data that does not fit a note. */
void pm_write_event(const pm_event *event);
/** The recorder has been waiting for the disk so long that the parent, and with it the whole server, would wait, too? */
int pm_disk_hangs(void);

/* vhosts.c */
/** A name for people and for the same virtual host in the next generation. */
const char *pm_vhost_key(apr_pool_t *p, const server_rec *s);
uint32_t pm_vhosts_count(const server_rec *s);
/** Every virtual host gets its number in the live region. */
void pm_vhosts_number(apr_pool_t *pconf, apr_pool_t *p, server_rec *main_server);

/* capture_file.c */
/** Open it, or one in the runtime directory: pm.capture; NULL when nothing can be had, and that is said. */
void pm_capture_file_find(apr_pool_t *p, server_rec *s);
/** One in the runtime directory, whose server ends. */
void pm_capture_file_forget(apr_pool_t *p, const char *path);

/* region.c */
struct pm_retained;
/** pm.live, pm.old and pm.control, for this capture file. */
apr_status_t pm_region_find(server_rec *s, struct pm_retained *kept, pm_error *err);
/** What the recorder has drained is in the totals, and nobody writes to it any more. */
void pm_region_remove_drained(struct pm_retained *kept);
/** A descriptor of a region's file, which this part keeps, also when somebody has removed the file; -1 = none. */
int pm_region_descriptor(const pm_live *live);
void pm_region_each(void (*act)(int *fd));
/** A worker has no part in it. */
void pm_region_leave(void);

/* load.c */
/** In the parent, in post_config, when capture file and live region are there: what this load brought is to be gathered. */
void pm_load_begin(apr_pool_t *pconf, apr_pool_t *ptemp, server_rec *s);
/** 1 while it forks the gatherer. */
int pm_load_forks(void);
/** Gather it, once. When a worker was forked: a page that the parent writes to after a fork is a page fault each, and a second
 *  fork at the same time costs none more. */
void pm_load_gather(server_rec *s);
/** When it was; the server's first one? else, graceful? */
uint64_t pm_load_at(uint32_t *first, uint32_t *graceful);

/* recorder.c */
/** Hand over this generation to the recorder, which is started when there is none. `p` is used no longer. */
void pm_recorder_attach(apr_pool_t *pconf, apr_pool_t *p, server_rec *s);
/** This generation can record nothing: let it go. */
void pm_recorder_dismiss(apr_pool_t *pconf);
/** In the parent, every ten seconds or so: start another one where it is missing. */
void pm_recorder_check(void);
/** The server ends in order: the recorder takes the last tick and leaves. */
void pm_recorder_stop(void);
/** A worker has no part in it. */
void pm_recorder_leave(void);

/* listen.c */
/** In the parent: a listening socket for each, those of the last generation where they are the same. -1 = none; why is
 *  said once. 1 when all that are wanted are there. */
int pm_listen_open(server_rec *s, int fds[]);
/** A worker has no part in it; `end` when the server ends. */
void pm_listen_leave(int end);
/** For each descriptor that it keeps, always as many, in the same order. So for the others of that name. */
void pm_listen_each(void (*act)(int *fd));

/* scoreboard.c */
/** When the scoreboard is there; it is replaced only while there are `no_children`. */
void pm_scoreboard_share(int no_children);
/** Where the memory begins that is shared; NULL = it is not. */
const void *pm_scoreboard_base(void);

/* refused.c */
void pm_register_refused(apr_pool_t *pconf);
/** In a worker. */
void pm_refused_leave(void);
/** Does the server end because somebody asked it to? For cleanups of the configuration's pool. */
int pm_ends_in_order(void);

/* signals.c */
/** In the parent, in post_config: from now on the senders of signals are noted. */
void pm_signals_prepare(void);
/** In the parent, when the MPM may have installed its handlers. Async-signal-safe. */
void pm_signals_watch(void);
/** The MPM's handlers alone; nothing of this module may be called any more. In a worker, too. */
void pm_signals_leave(void);
/** httpd stops in order: how, by whom, and since when nobody new is served. */
#define PM_STOP_DATA 2048
const pm_event *pm_signals_stop(pm_draft *d, char data[PM_STOP_DATA]);
/** Who asked for the reload that ended the server: members of an event's data, and " (SIGHUP from pid 4711 (…))"; nothing
 *  when that is not known. */
void pm_signals_put_reload(pm_draft *d);
const char *pm_signals_reload_words(char text[PM_EVENT_TEXT]);

/* pid_file.c */
/** Whom httpd takes for the running server, before it acts on that. */
void pm_pid_file_look(apr_pool_t *p);
/** Then: is that the last server of the capture file? */
void pm_pid_file_compare(const pm_server *last);
/** 1 when that is a process, and not the server that wrote the file. */
int pm_pid_file_misleads(void);
/** "… names pid 4711, which is `sleep`, not httpd". */
const char *pm_pid_file_words(apr_pool_t *p);
/** A member of an event's data. */
void pm_pid_file_put(pm_draft *d);

/* command.c */
#define PM_OWN_COMMAND 64
typedef struct pm_own_command {
    char word[16];             /* after -k; "" = none */
    char name[PM_OWN_COMMAND]; /* as somebody called it */
} pm_own_command;
void pm_command_of_own(pm_own_command *own);

/* shortage.c */
/** An error of the system was logged. Async-signal-safe. */
void pm_shortage_heard(apr_status_t status, const char *message);
/** Nothing was short so far. */
void pm_shortage_forget(void);
/** "2 of 2 semaphore sets in use, 2 by www-data: "; "" when nothing was short. */
const char *pm_shortage_words(apr_pool_t *p);

/* process.c */
/** A worker begins: it takes a place in the live region. */
void pm_process_begin(apr_pool_t *pchild);
/** 0: nobody would give up this process's requests, should it die. A process that a worker has forked takes its place
 *  here. */
int pm_process_has_place(void);
/** A line of this process's error log: mpm_itk names the signal that ended the process that it had forked to serve
 *  a connection. Async-signal-safe. */
void pm_process_logged(const char *message);

/* children.c */
void pm_child_status(server_rec *s, pid_t pid, ap_generation_t gen, int slot,
                     mpm_child_status status);
/** A line of the parent's error log: it may name a child and the signal that ended it. Async-signal-safe. */
void pm_child_logged(const char *message);

/* config.c */
/** In the parent, in post_config: room for what the gatherer finds. And what it reads is to be there still. */
void pm_config_prepare(apr_pool_t *pconf, apr_pool_t *ptemp, server_rec *s);
/** In the gatherer: what configuration runs. */
void pm_config_gather(apr_pool_t *pool, server_rec *s);
/** All is gathered: whoever waits for it goes on. After pm_config_gather. */
void pm_config_seal(apr_pool_t *pool, server_rec *s);
/** Of the snapshots of the last load and of this one; -1 = none. */
void pm_config_descriptors(int *last, int *now);
void pm_config_each(void (*act)(int *fd));
/** A worker has no part in it. */
void pm_config_leave(void);
/** The files of the running configuration, as they were when it was loaded, and what Include lines name: patterns with
 *  wildcards, and folders (with a slash at the end). In pm_config_gather. */
const pm_config_file *pm_config_files(size_t *count);
const char *const *pm_config_patterns(size_t *count);

/* defines.c */
/** Before the configuration is read. */
void pm_register_defines(apr_pool_t *pconf);
/** Names that this load has defined, by its own lines or by a module's code, numbered from 0; NULL = no more, or nobody can
 *  tell. */
const char *pm_define_of_load(int i);
int pm_is_defined_by_load(const char *name);

/* eventlog.c */
void pm_eventlog_open(apr_pool_t *pconf, server_rec *s);
/** A worker has no part in it. */
void pm_eventlog_leave(void);

/* handler.c */
int pm_handler(request_rec *r);

#endif
