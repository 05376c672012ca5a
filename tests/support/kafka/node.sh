#!/bin/sh
# Keeps one broker: node.sh FOLDER COMMAND... Reads words from standard input, one a line, and answers each with "ok".
#
# The broker's life hangs on that pipe. However the test ends - success, panic, kill -9 - the pipe closes, the broker is
# killed by its own process id, and its folder goes. No list of processes has to be kept anywhere.
folder=$1
shift
pid=

leave() {
    kill -KILL "$pid"
    wait "$pid"
    pid=
}

while read -r word; do
    case $word in
    start)
        "$@" </dev/null >>"$folder/log" 2>&1 &
        pid=$!
        echo "$pid" >"$folder/pid"
        ;;
    stop)
        # A broker that cannot reach a quorum of controllers would wait minutes for its leave.
        kill -TERM "$pid"
        { sleep 30 && kill -KILL "$pid"; } >/dev/null 2>&1 &
        limit=$!
        wait "$pid"
        kill "$limit"
        pid=
        ;;
    kill) leave ;;
    freeze) kill -STOP "$pid" ;;
    thaw) kill -CONT "$pid" ;;
    esac
    echo ok
done 2>>"$folder/log"

[ -z "$pid" ] || leave 2>/dev/null
# A child of the process may still write there, and end by itself.
rm -rf "$folder" 2>/dev/null || { sleep 1 && rm -rf "$folder"; }
