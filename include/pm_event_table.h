/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * pm_event_table.h: the event types: each is declared here once, and nowhere else.
 *
 * PM_EVENT(constant, name, severity, by, traits, reach, meaning, members...)
 *   severity  that it is written with, unless its writer says otherwise
 *   by        who may write it: PM_BY_*
 *   traits    PM_IS_* and PM_AGAINST_*, pm_event.h
 *   reach     how far it explains an incident: PM_CAUSE(kinds of incidents, before and after the onset, weight,
 *             its name among the causes or NULL for its own, what requests served well since make of it, 1 = each
 *             file is a cause of its own), or PM_NO_CAUSE
 *   members   of its data: M(key, kind, meaning); N(...) may be null, too. Any may be missing
 * A new one goes to the end: the number of a type is stored. Encoders, JSON Schema and manual follow from here.
 */
PM_EVENT(SERVER_START, "server.start", PM_INFO, PM_BY_PARENT,
         PM_IS_CHANGE | PM_IS_STORY | PM_AGAINST_CONFIGURATION,
         PM_CAUSE(PM_FAILING | PM_SHUT_OUT, PM_MINUTES(1), 0, 45, NULL, PM_FALLS, 0),
         "httpd started",
         M(pid, COUNT, "process id of httpd's parent"))

PM_EVENT(SERVER_STOP, "server.stop", PM_INFO, PM_BY_PARENT, PM_IS_CHANGE | PM_IS_STORY,
         PM_CAUSE(PM_KIND_DOWN | PM_KIND_STOPPED, PM_MINUTES(10), PM_MINUTES(1), 80, NULL, PM_STANDS, 0),
         "httpd was stopped in order",
         M(kind, TEXT, "stop or graceful-stop: what was asked for first")
         M(cut_by, TEXT, "the signal that ended a graceful stop before its time")
         PM_SENDER_MEMBERS)

PM_EVENT(SERVER_UNCLEAN, "server.unclean", PM_CRITICAL, PM_BY_RECORDER,
         PM_IS_CHANGE | PM_IS_STORY | PM_AGAINST_CONFIGURATION | PM_AGAINST_CRASHES | PM_AGAINST_MACHINE,
         PM_CAUSE(PM_KIND_DOWN, PM_MINUTES(1), PM_EVER, 60, NULL, PM_STANDS, 0),
         "the last run ended without a stop",
         M(last_alive, TIME, "the last run's last sign of life")
         M(gap, SECONDS, "from it to this start"))

PM_EVENT(HOST_REBOOT, "host.reboot", PM_WARNING, PM_BY_RECORDER, PM_IS_CHANGE | PM_IS_STORY | PM_AGAINST_MACHINE,
         PM_CAUSE(PM_KIND_DOWN | PM_KIND_STOPPED, PM_MINUTES(1), PM_EVER, 90, NULL, PM_STANDS, 0),
         "the machine was started anew since the last run",
         M(from, TEXT, "boot id of the last run")
         M(to, TEXT, "boot id now"))

PM_EVENT(CONFIG_LOAD, "config.load", PM_INFO, PM_BY_RECORDER, PM_IS_STORY | PM_AGAINST_CONFIGURATION, PM_NO_CAUSE,
         "the configuration was loaded by a start",
         M(generation, COUNT, "number of the configuration in this run")
         N(changes, COUNT, "directives that differ from the last run's; null: nothing to compare with")
         M(files, COUNT, "files that were replaced or written anew since"))

PM_EVENT(CONFIG_RELOAD, "config.reload", PM_INFO, PM_BY_RECORDER,
         PM_IS_CHANGE | PM_IS_STORY | PM_IS_ALTERING | PM_AGAINST_CONFIGURATION,
         PM_CAUSE(PM_FAILING | PM_KIND_DOWN | PM_SHUT_OUT, PM_MINUTES(1), 0, 50, NULL, PM_FALLS, 0),
         "the configuration was loaded again",
         M(kind, TEXT, "graceful or restart")
         M(generation, COUNT, "number of the configuration in this run")
         N(changes, COUNT, "directives that differ; null: nothing to compare with")
         M(files, COUNT, "shared objects and certificates that this reload took anew"))

PM_EVENT(CONFIG_CHANGED, "config.changed", PM_INFO, PM_BY_RECORDER,
         PM_IS_CHANGE | PM_IS_STORY | PM_IS_ALTERING | PM_AGAINST_CONFIGURATION | PM_AGAINST_DEPLOYMENT,
         PM_CAUSE(PM_FAILING | PM_KIND_DOWN | PM_SHUT_OUT, PM_MINUTES(10), 0, 92, NULL, PM_WEAKENS, 0),
         "what was loaded differs from the configuration before",
         M(generation, COUNT, "number of the configuration in this run")
         M(added, DIRECTIVES, "directives as they are now, secrets masked")
         M(removed, DIRECTIVES, "directives as they were, secrets masked")
         M(files, FILES, "configuration files that differ")
         M(modules, MODULES, "names of modules that are loaded, and no longer loaded")
         M(counts, COUNTS, "how many there are of each, listed or not")
         M(truncated, FLAG, "the lists are not whole"))

PM_EVENT(CONFIG_REJECTED, "config.rejected", PM_WARNING, PM_BY_COMMAND, PM_IS_CHANGE | PM_IS_STORY, PM_NO_CAUSE,
         "a check or a command refused the configuration; what ran went on",
         PM_REFUSAL_MEMBERS)

PM_EVENT(CONFIG_FAILED, "config.failed", PM_CRITICAL, PM_BY_PARENT,
         PM_IS_CHANGE | PM_IS_STORY | PM_IS_EVER | PM_IS_FAILURE | PM_IS_ALTERING | PM_AGAINST_CONFIGURATION,
         PM_CAUSE(PM_KIND_DOWN, PM_MINUTES(1), PM_EVER, 100, NULL, PM_STANDS, 0),
         "the running server tried it, or met an error, and ended",
         PM_REFUSAL_MEMBERS)

PM_EVENT(START_FAILED, "start.failed", PM_CRITICAL, PM_BY_PARENT | PM_BY_COMMAND,
         PM_IS_CHANGE | PM_IS_STORY | PM_IS_EVER | PM_IS_FAILURE | PM_AGAINST_CONFIGURATION,
         PM_CAUSE(PM_KIND_DOWN, PM_MINUTES(1), PM_EVER, 85, NULL, PM_STANDS, 0),
         "no server was running, and none came",
         PM_REFUSAL_MEMBERS
         M(result, TEXT, "what systemd said of the service"))

PM_EVENT(CONFIG_DRIFT, "config.drift", PM_WARNING, PM_BY_RECORDER,
         PM_IS_CHANGE | PM_IS_STORY | PM_AGAINST_CONFIGURATION | PM_AGAINST_DEPLOYMENT, PM_NO_CAUSE,
         "configuration files on disk differ from what runs, or do so no more",
         M(files, TEXTS, "their paths, as far as there is room")
         M(count, COUNT, "how many there are")
         M(resolved, FLAG, "what is on disk is again what runs")
         M(noticed, TIME, "when it was seen")
         M(since, TIME, "when it happened, by the files' own times"))

PM_EVENT(CHILD_CRASH, "child.crash", PM_WARNING, PM_BY_RECORDER, PM_IS_FLOOD | PM_IS_STORY | PM_AGAINST_CRASHES,
         PM_CAUSE(PM_FAILING | PM_KIND_DOWN, PM_MINUTES(1), PM_MINUTES(1), 65, NULL, PM_STANDS, 0),
         "worker processes died unasked",
         M(pid, COUNT, "process id of the first of them")
         N(signal, COUNT, "that ended it; null: it ended itself")
         M(count, COUNT, "how many this event tells of")
         M(total, COUNT, "since the capture file was made")
         M(generation, COUNT, "of the configuration that it ran with")
         M(requests, COUNT, "that it was serving")
         M(oldest, SECONDS, "age of the oldest of these"))

PM_EVENT(WORKERS_EXHAUSTED, "workers.exhausted", PM_WARNING, PM_BY_RECORDER,
         PM_IS_FLOOD | PM_IS_SIGN | PM_AGAINST_WORKERS,
         PM_CAUSE(PM_FAILING, PM_MINUTES(1), PM_MINUTES(1) / 2, 75, "workers", PM_STANDS, 0),
         "no worker was idle for some seconds, or one is again",
         M(busy, COUNT, "workers that served a request")
         M(limit, COUNT, "workers that there may be")
         M(since, TIME, "when the last idle one was gone")
         N(until, TIME, "when one was idle again; null: not yet"))

PM_EVENT(DEPENDENCY_MISSING, "dependency.missing", PM_CRITICAL, PM_BY_RECORDER,
         PM_IS_CHANGE | PM_IS_STORY | PM_IS_EVER | PM_IS_ALTERING | PM_AGAINST_DEPLOYMENT,
         PM_CAUSE(PM_KIND_DOWN, PM_EVER, PM_EVER, 95, NULL, PM_STANDS, 0),
         "a file that the server needs is missing",
         M(path, TEXT, "of the file")
         M(needed_by, TEXTS, "objects that name it; none: it was opened at run time")
         M(named_by, TEXT, "directive, file and line")
         M(noticed, TIME, "when it was seen")
         N(since, TIME, "when it happened, by the folder's own time")
         N(identity, IDENTITY, "of the file that was there"))

PM_EVENT(DEPENDENCY_CHANGED, "dependency.changed", PM_INFO, PM_BY_RECORDER,
         PM_IS_CHANGE | PM_IS_STORY | PM_IS_EVER | PM_IS_ALTERING | PM_AGAINST_DEPLOYMENT,
         PM_CAUSE(PM_FAILING | PM_KIND_DOWN, PM_MINUTES(10), 0, 70, NULL, PM_WEAKENS, 0),
         "a file that the server needs is back, was replaced, written anew, or is needed no more",
         PM_FILE_MEMBERS
         M(returned, FLAG, "it had been missing, and is back")
         M(same, FLAG, "it is the file that httpd runs with")
         M(needed, FLAG, "false: it was missing, and the server needs it no more")
         M(loaded, FLAG, "a load took the new one"))

PM_EVENT(ROUTE_MOVED, "route.moved", PM_WARNING, PM_BY_WORKER,
         PM_IS_FLOOD | PM_IS_CHANGE | PM_IS_STORY | PM_IS_ALTERING | PM_AGAINST_CONFIGURATION | PM_AGAINST_DEPLOYMENT,
         PM_CAUSE(PM_FAILING, PM_MINUTES(10), PM_MINUTES(1), 88, NULL, PM_WEAKENS, 0),
         "another virtual host serves a requested Host since a reload",
         M(host, TEXT, "that was asked for")
         M(from, PLACE, "who served it")
         N(to, PLACE, "who serves it now; null: no name matches it any more"))

PM_EVENT(FILE_CHANGED, "file.changed", PM_INFO, PM_BY_RECORDER,
         PM_IS_FLOOD | PM_IS_CHANGE | PM_IS_STORY | PM_IS_ALTERING | PM_AGAINST_CONFIGURATION | PM_AGAINST_DEPLOYMENT,
         PM_CAUSE(PM_FAILING, PM_MINUTES(10), 0, 70, NULL, PM_WEAKENS, 1),
         "a watched file, a folder or an .htaccess file changed",
         PM_FILE_MEMBERS
         M(fresh, TEXT, "of a folder: a file in it that was made when it changed"))

PM_EVENT(TRAFFIC_SILENCE, "traffic.silence", PM_WARNING, PM_BY_RECORDER, PM_IS_FLOOD | PM_IS_SIGN, PM_NO_CAUSE,
         "usual requests do not come, or cannot be served, or come again",
         M(seconds, SECONDS, "how long it lasted so far")
         M(expected, COUNT, "requests that were usual in that time")
         M(requests, COUNT, "that came: of health checkers, and those that got 400 or the like")
         M(connections, COUNT, "that brought no request")
         N(probe, TEXT, "what a look from outside found; null: none did yet")
         M(resolved, FLAG, "clients ask again"))

PM_EVENT(CLOCK_STEP, "clock.step", PM_WARNING, PM_BY_RECORDER, PM_IS_FLOOD | PM_IS_SIGN | PM_AGAINST_MACHINE,
         PM_NO_CAUSE,
         "the machine's clock was set",
         M(seconds, NUMBER, "forward; less than 0: back"))

PM_EVENT(ERROR_LOG, "error_log", PM_CRITICAL, PM_BY_WORKER, PM_IS_FLOOD | PM_IS_SIGN, PM_NO_CAUSE,
         "a critical line of the error log",
         M(level, TEXT, "crit, alert or emerg")
         M(pid, COUNT, "process that logged it")
         M(count, COUNT, "how often it came so far"))

PM_EVENT(INCIDENT_OPEN, "incident.open", PM_CRITICAL, PM_BY_RECORDER, 0, PM_NO_CAUSE,
         "an incident was detected",
         M(incident, COUNT, "its id"))

PM_EVENT(INCIDENT_CLOSE, "incident.close", PM_INFO, PM_BY_RECORDER, 0, PM_NO_CAUSE,
         "an incident is over",
         M(incident, COUNT, "its id"))

PM_EVENT(NOTE, "note", PM_INFO, PM_BY_RECORDER | PM_BY_COMMAND, PM_IS_CHANGE | PM_IS_STORY | PM_IS_EVER, PM_NO_CAUSE,
         "a person's own line, or something else that is worth saying",
         M(incident, COUNT, "id of the incident that it belongs to")
         M(user, TEXT, "who wrote it; missing: the recorder itself")
         M(maintenance, FLAG, "it announces maintenance: a stop in the half hour after it is no outage")
         M(message, TEXT, "the whole of it, where it is not its text")
         M(command, TEXT, "program that said it")
         M(result, TEXT, "what systemd said of the service")
         M(stuck, COUNT, "requests in flight for more than a minute")
         M(arrival, TIME, "of the oldest of them")
         M(path, TEXT, "that cannot be looked at")
         M(since, TIME, "from then on"))

PM_EVENT(LISTENER_CHANGED, "listener.changed", PM_INFO, PM_BY_RECORDER,
         PM_IS_CHANGE | PM_IS_STORY | PM_AGAINST_CONFIGURATION,
         PM_CAUSE(PM_SHUT_OUT, PM_MINUTES(10), 0, 80, NULL, PM_WEAKENS, 0),
         "httpd listens on other addresses since a load",
         M(generation, COUNT, "number of the configuration in this run")
         M(added, TEXTS, "addresses on which it did not listen before")
         M(removed, TEXTS, "addresses on which it listens no more"))

PM_EVENT(PROBE_FAILED, "probe.failed", PM_CRITICAL, PM_BY_RECORDER, PM_IS_FLOOD | PM_IS_SIGN,
         PM_CAUSE(PM_SHUT_OUT, PM_MINUTES(1), 0, 60, NULL, PM_STANDS, 0),
         "a look from outside failed, or does no more",
         M(listener, TEXT, "address that was asked, or virtual host")
         M(how, TEXT, "what the look found")
         N(detail, TEXT, "what the library said; the name that a certificate is for")
         M(resolved, FLAG, "looks are answered again"))

PM_EVENT(CERT_EXPIRING, "cert.expiring", PM_WARNING, PM_BY_RECORDER, PM_IS_SIGN, PM_NO_CAUSE,
         "a certificate that is shown is about to end", PM_CERTIFICATE_MEMBERS)

PM_EVENT(CERT_EXPIRED, "cert.expired", PM_CRITICAL, PM_BY_RECORDER, PM_IS_STORY,
         PM_CAUSE(PM_KIND_UNREACHABLE, PM_MINUTES(1), 0, 96, NULL, PM_STANDS, 0),
         "a certificate that is shown has ended", PM_CERTIFICATE_MEMBERS)
