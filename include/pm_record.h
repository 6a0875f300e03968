/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * pm_record.h: what the capture file holds: rows, events, incidents, totals, server.
 *
 * These structs are stored as they are (x86-64 and arm64 agree on them; the file's ABI word refuses
 * anything else), so each has fixed-width fields, explicit padding and an asserted size; changing one
 * changes PM_CAPTURE_VERSION. Strings are NUL-terminated, clean UTF-8 (pm_text.h) when written by
 * us; a reader terminates and cleans them again. Times are wall microseconds, 0 = unknown.
 */
#ifndef PM_RECORD_H
#define PM_RECORD_H

#include <stddef.h>
#include <stdint.h>

#include "pm_client_set.h"
#include "pm_event.h"
#include "pm_hist.h"
#include "pm_outcome.h"
#include "pm_sketch.h"

#define PM_UNKNOWN UINT32_MAX      /* a gauge nobody could read: null in the document */
#define PM_STATUS_SLOTS 901        /* 100..999, then "other" */

/** A second or a minute: what completed between at_us and at_us + span_us, and gauges at its end. */
typedef struct pm_row {
    uint64_t tick;
    uint64_t at_us;                /* start */
    uint64_t span_us;
    uint64_t requests;
    uint64_t errors;
    uint64_t slow;
    uint64_t bytes;
    uint32_t classes[5];           /* 1xx..5xx */
    uint32_t e500, e502, e503, e504;
    uint32_t p50_us, p90_us, p99_us, max_us; /* 0 when requests is 0 */
    uint32_t clients, error_clients;         /* distinct, estimated; PM_UNKNOWN when off */
    uint32_t busy, idle, limit;              /* workers */
    uint32_t in_flight;
    uint32_t oldest_ms;                      /* age of the oldest in flight */
    uint32_t generation;
    uint32_t busy_max;                       /* minutes: the highest second */
    uint32_t flags;                          /* PM_ROW_* */
    uint16_t people;                         /* 1 + clients of which the answers tell, no health checkers; 0 = not known */
    uint16_t fresh;                          /* minutes: of them those that had not come in the minute before */
} pm_row;
/* Versions before left people and fresh 0. */
#define PM_ROW_ORPHANED 1u         /* the parent was dead */
#define PM_ROW_RECOVERED 2u        /* read from a dead run's memory afterwards */
_Static_assert(sizeof(pm_row) == 152, "pm_row is stored on disk");

/** Everything that only goes up. */
typedef struct pm_totals {
    uint64_t status[PM_STATUS_SLOTS];
    uint64_t hist[PM_HIST_BUCKETS];
    uint64_t bytes;
    uint64_t max_us;               /* longest request */
} pm_totals;
_Static_assert(sizeof(pm_totals) == 8 * (PM_STATUS_SLOTS + PM_HIST_BUCKETS + 2), "stored on disk");

/** Kinds of incidents: PM_KIND(constant, name, words in a sentence, meaning). A new one goes to the end: its bit, and
 *  where it is counted, are stored. */
#define PM_INCIDENT_KINDS(KIND)                                                                                \
    KIND(ERRORS, "errors", "errors", "requests failed: they were answered with a 5xx status")                  \
    KIND(SLOW, "slow", "slow requests", "requests took, or were in flight for, longer than the threshold")     \
    KIND(DOWN, "down", "server down", "nobody was served")                                                      \
    KIND(REFUSED, "refused", "clients refused", "clients got 4xx instead of what they used to get")             \
    KIND(REDIRECTS, "redirects", "clients redirected", "clients were sent round, and got nothing else")         \
    KIND(SILENCE, "silence", "silence", "the usual traffic did not come, or brought no request that could be served") \
    KIND(UNREACHABLE, "unreachable", "failed looks from outside", "a look from outside failed, though the server ran") \
    KIND(STOPPED, "stopped", "server stopped", "the server was stopped in order, and not started again")
enum pm_kind_number {
#define PM_KIND(constant, ...) PM_KIND_NUMBER_##constant,
    PM_INCIDENT_KINDS(PM_KIND)
#undef PM_KIND
    PM_KINDS
};
enum pm_kind {
#define PM_KIND(constant, ...) PM_KIND_##constant = 1 << PM_KIND_NUMBER_##constant,
    PM_INCIDENT_KINDS(PM_KIND)
#undef PM_KIND
    PM_KIND_ALL = (1 << PM_KINDS) - 1
};
#define PM_KIND_UNSERVED (PM_KIND_REFUSED | PM_KIND_REDIRECTS) /* requests were answered, but not as clients wanted */
/* States, which last or not, whatever requests say; and those in which nobody is served at all. */
#define PM_KIND_OUTAGE (PM_KIND_DOWN | PM_KIND_SILENCE | PM_KIND_STOPPED)
#define PM_KIND_STATES (PM_KIND_OUTAGE | PM_KIND_UNREACHABLE)
/* The server itself failed, or was not there. */
#define PM_KIND_SERVING (PM_KIND_ERRORS | PM_KIND_SLOW | PM_KIND_DOWN | PM_KIND_STOPPED)
#define PM_KIND_ROOM 16            /* counters of kinds in a checkpoint */
_Static_assert(PM_KINDS <= PM_KIND_ROOM, "each has a counter");

typedef struct pm_kind_fact {
    const char *name, *words, *meaning;
} pm_kind_fact;
/** By number, below PM_KINDS. */
const pm_kind_fact *pm_kind_fact_of(uint32_t number);
/** The n-th kind that is set, NULL after the last. */
const pm_kind_fact *pm_kind_at(uint32_t kinds, int n);
/** "errors and slow requests". */
#define PM_KIND_WORDS 160
const char *pm_kind_words(uint32_t kinds, char out[PM_KIND_WORDS]);

/** How a backend failed, by what httpd's proxy said of it. The names of the ways are pm_failure_key(). */
enum pm_failure {
    PM_FAILURE_NONE,
    PM_FAILURE_REFUSED,            /* no connection: refused, or its socket is missing or full */
    PM_FAILURE_TIMEOUT,            /* no connection, or no answer, in time */
    PM_FAILURE_ANSWERED,           /* it answered with the error itself */
    PM_FAILURE_CLOSED,             /* it closed the connection before it answered */
    PM_FAILURE_NOT_TRIED,          /* httpd did not ask it: held in error state, no such name, no socket left */
    PM_FAILURE_UNREACHABLE,        /* no connection: no route, or not permitted */
    PM_FAILURE_UNKNOWN,            /* nothing says how */
    PM_FAILURES
};
#define PM_WAYS (PM_FAILURE_UNKNOWN - PM_FAILURE_REFUSED) /* that are counted; what they leave is unknown */

#define PM_KEY 160
/** One line of a breakdown: what, and how often. */
typedef struct pm_tally {
    char key[PM_KEY];
    char defined[PM_KEY];          /* virtual hosts: "file:line"; else "" */
    uint64_t requests;             /* UINT64_MAX = not counted */
    uint64_t errors;               /* error_log: count */
    union {                        /* backends: how it failed, in the order of enum pm_failure */
        struct {
            uint64_t refused, timeout, answered, closed, not_tried, unreachable;
        };
        uint64_t ways[PM_WAYS];
    };
    uint64_t first_seen_us;
    uint64_t counted_requests, counted_errors; /* while both were counted: their quotient is the share that failed */
} pm_tally;
_Static_assert(sizeof(pm_tally) == 408, "pm_tally is stored on disk");

/** How often a backend failed in one way (enum pm_failure). */
uint64_t pm_failure_count(const pm_tally *backend, uint32_t failure);
const char *pm_failure_key(uint32_t failure);      /* "not_tried", as the document has it */
const char *pm_failure_phrase(uint32_t failure);   /* "not tried by httpd", after a number */

/** A shorter line of a breakdown. */
typedef struct pm_count {
    char key[56];
    uint64_t requests;             /* UINT64_MAX = not counted */
    uint64_t errors;
} pm_count;
_Static_assert(sizeof(pm_count) == 72, "pm_count is stored on disk");

/** A failing request kept whole. */
typedef struct pm_sample {
    uint64_t at_us;                /* arrival */
    uint64_t latency_us;
    uint32_t status;
    uint32_t flags;                /* PM_SAMPLE_* */
    char method[16];
    char uri[256];
    char host[96];
    char vhost[PM_KEY];
    char backend[128];
    char client[56];
    char request_id[40];
} pm_sample;
#define PM_SAMPLE_ABORTED 1u       /* the client had gone */
#define PM_SAMPLE_SLOW 2u          /* kept because it was slow, not because it failed */
#define PM_SAMPLE_MAYBE_ABORTED 4u /* a stream of HTTP/2 whose reply was over: whether the client ended it is not known */
#define PM_SAMPLE_BY_HTTPD 8u      /* httpd itself answered: no other process can have been asked */
_Static_assert(sizeof(pm_sample) == 776, "pm_sample is stored on disk");

#define PM_TALLIES 12              /* of each dimension, heaviest first; errors == 0 ends the list. Last may be "(other)" */
#define PM_COUNTS 8                /* likewise */
#define PM_SAMPLES_MAX 256
#define PM_INCIDENT_STATUSES 13    /* PM_ECODES: no more are counted apart */

typedef struct pm_quantiles {
    uint64_t p50_us, p90_us, p99_us, count;
} pm_quantiles;

/** What was usual at another time; us = 0: nothing is on record of it. */
typedef struct pm_usual {
    uint64_t us;                   /* how much history stands behind it */
    double requests_per_second, error_ratio;
    double clients_per_minute;     /* -1 = not counted */
} pm_usual;

/** An incident and, while it is open, all that is needed to go on with it after a crash. The samples
 *  follow it in its slot. */
typedef struct pm_incident {
    uint64_t id;                   /* 1.. */
    uint32_t open;
    uint32_t kinds;                /* PM_KIND_* ever held */
    char vhost[PM_KEY];            /* "" = the whole server */
    uint64_t onset_us, detected_us, end_us;  /* end_us: completion of the last failure so far */
    uint64_t closed_us;            /* when it was closed; 0 while open */
    uint64_t requests, errors, slow;
    uint64_t unserved_us, expected_requests;  /* kinds PM_KIND_OUTAGE: 0 seconds otherwise */
    double expected_error;
    uint64_t peak_at_us;
    double peak_errors_per_second, peak_ratio;
    uint32_t status_code[PM_INCIDENT_STATUSES]; /* 5xx, most frequent first; 0 ends */
    uint32_t clear_s;              /* quiet seconds after which it closes; 0 = not known */
    uint32_t since_end;            /* while it is open: what failed or was slow since, and was too little to extend it */
    uint32_t affected_more;        /* as pm_estimates.h has it */
    uint32_t clients_known;        /* 0 = clients is null */
    uint32_t sample_count;         /* kept */
    uint64_t status_count[PM_INCIDENT_STATUSES];
    uint32_t clients_least, clients_most;     /* most 0 = not known */
    uint32_t requests_fewer, requests_more;   /* UINT32_MAX = no bound is known */
    uint32_t served_since_end;     /* while it is open: requests that succeeded since; saturates */
    uint32_t states;               /* PM_KIND_STATES that last now */
    uint64_t sample_seen;          /* offered to the reservoir */
    double clients, error_clients; /* distinct over the window */
    pm_quantiles before, during;
    uint64_t before_us;            /* how much history stands behind `before` and the baselines */
    double before_requests_per_second, before_clients_per_minute, before_error_ratio;
    uint64_t down_since_us;        /* nobody is served, since then; 0 = not now. end_us is as far as unserved_us goes */
    pm_usual day, week;            /* ten minutes around the onset's time, a day and a week before */
    uint64_t first_event, last_event; /* seq at detection; newest at the last update */
    double served_all, served;     /* clients from onset to end, and those of them that got what they asked for at least once;
                                    * estimated from `met`; 0 of 0 = not known */
    double served_usual;           /* the share that usually does; -1 = not known */
    uint32_t sequential;           /* opened by the sequential rule */
    uint32_t generation;           /* of the configuration at onset */
    pm_tally by_vhost[PM_TALLIES];
    pm_tally by_route[PM_TALLIES];
    pm_tally by_host[PM_TALLIES];
    pm_tally by_backend[PM_TALLIES];
    pm_tally by_error_log[PM_TALLIES]; /* defined = sample line; those never seen before come first */
    pm_count by_method[PM_COUNTS];
    pm_count by_client[PM_COUNTS];     /* one for each client; their masked addresses may be alike */
    pm_count busiest;                  /* the client with the most requests */
    uint64_t counted_requests;         /* since detection; 0 = the two below are not known */
    uint64_t monitoring_requests;      /* of health checkers and exporters among them */
    pm_client_set met[PM_OUTCOMES];    /* by what they met; working memory */
    uint64_t hist[PM_HIST_BUCKETS];    /* during; working memory */
    uint8_t sketch_all[PM_SKETCH_STORED]; /* clients, for the run that goes on with it */
    uint8_t sketch_error[PM_SKETCH_STORED];
} pm_incident;
_Static_assert(sizeof(pm_incident) == 40600, "pm_incident is stored on disk");

/** Where the server stands, written with every tick. */
typedef struct pm_server {
    uint64_t run;                  /* 1.. number of this run within the capture */
    uint64_t started_us, config_loaded_us, stopped_us; /* stopped_us: 0 unless it ended in order */
    uint64_t heartbeat_us;
    uint64_t pid_start;            /* /proc/<pid>/stat field 22: tells a reused pid */
    uint32_t pid;
    uint32_t generation;           /* AP_SQ_CONFIG_GEN of the running configuration */
    uint32_t orphaned;
    uint32_t config_failures;      /* count */
    uint64_t crashes;              /* child crashes, count */
    uint64_t reload_us;            /* last reload; 0 = none */
    uint32_t watched;              /* PM_WATCHED_*: what would have been seen, had it happened */
    uint32_t unloaded;             /* it was not stopped at stopped_us: a reload unloaded the module */
    uint32_t dependency_missing;   /* files missing now */
    uint32_t in_flight;
    uint32_t oldest_ms;
    uint32_t busy, idle, limit;    /* PM_UNKNOWN */
    uint64_t write_failures;
    uint64_t pid_namespace;        /* inode of /proc/self/ns/pid: in another one, pid tells nothing */
    uint64_t file_dev, file_ino;   /* of the capture file: a copy is told by them */
    char boot_id[40];
    char host_name[64];
    char host_id[40];              /* hash of /etc/machine-id, "" unknown */
    char software[64];
    char mpm[16];
    char module_version[16];
    char trouble[256];             /* what is not recorded, one sentence; "" = all is well */
} pm_server;
_Static_assert(sizeof(pm_server) == 640, "pm_server is stored on disk");

#define PM_WATCHED_FILES 1u        /* libraries, configuration, .htaccess, tops of DocumentRoots */
#define PM_WATCHED_CRASHES 2u      /* worker processes that die */

#endif
