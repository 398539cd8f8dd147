#!/usr/bin/env bash
# A Slurm cluster of one node on this machine, from Debian's packages slurm-wlm and munge, without systemd.
#   tests/slurm_cluster.sh start FOLDER   starts the daemons; then `export SLURM_CONF=FOLDER/slurm.conf`
#   tests/slurm_cluster.sh stop FOLDER    cancels all jobs and stops the daemons
#   tests/slurm_cluster.sh crash FOLDER   kills the node's daemon with all jobs on it, and starts the node again
# All files of the cluster are in FOLDER, and its ports are free ones, so that several clusters can run at once.
set -euo pipefail
usage="usage: $0 start|stop|crash FOLDER"
action=${1:?$usage}
mkdir -p "${2:?$usage}"
folder=$(cd "$2" && pwd)
export SLURM_CONF=$folder/slurm.conf PATH=$PATH:/usr/sbin:/sbin

configure() {
  local user ports
  user=$(id -un)
  read -ra ports < <(python3 -c '
import socket
sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
print(*(socket.getsockname()[1] for socket in sockets))')
  mkdir -p "$folder/state" "$folder/spool"
  cat >"$SLURM_CONF" <<END
ClusterName=test
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort=${ports[0]}
SlurmdPort=${ports[1]}
SlurmUser=$user
SlurmdUser=$user
AuthType=auth/munge
AuthInfo=socket=$folder/munge.socket
CredType=cred/munge
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_interval=5
KillWait=60
ReturnToService=2
SlurmdParameters=config_overrides
NodeName=localhost NodeAddr=127.0.0.1 CPUs=4
PartitionName=main Nodes=localhost Default=YES MaxTime=INFINITE
END
}

start_munge() {  # --force: other users need not reach the socket
  (umask 077 && head -c 1024 /dev/urandom >"$folder/munge.key")
  munged --force --key-file="$folder/munge.key" --socket="$folder/munge.socket" --pid-file="$folder/munged.pid" \
    --seed-file="$folder/munge.seed" --log-file="$folder/munged.log"
}

wait_until() {  # SECONDS COMMAND...: repeat the command until it succeeds
  local end=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$end" ] || return 1
    sleep 0.2
  done
}

of_node() {  # the processes of this cluster's node: its daemon, and the jobs with their keepers
  local process environment
  for process in /proc/[0-9]*; do
    environment=$(cat "$process/environ" 2>/dev/null | tr '\0' '\n')
    grep -qxF "SLURM_CONF=$SLURM_CONF" <<<"$environment" || continue
    case $(cat "$process/comm" 2>/dev/null) in
      slurmd | slurmstepd) basename "$process" ;;
      *) if grep -q '^SLURM_JOB_ID=' <<<"$environment"; then basename "$process"; fi ;;
    esac
  done
}

node_is_idle() { [ "$(sinfo --noheader --format=%t)" = idle ]; }
queue_is_empty() { local jobs; jobs=$(squeue --noheader) && [ -z "$jobs" ]; }
has_ended() { case $(ps -o stat= -p "$1") in ''|Z*) ;; *) false ;; esac; }  # a zombie waits for its parent alone

case $action in
  start)
    configure
    start_munge
    slurmctld
    slurmd -N localhost
    if ! wait_until 60 node_is_idle; then
      tail -n 20 "$folder"/*.log >&2
      "$0" stop "$folder"
      exit 1
    fi
    ;;
  stop)
    if squeue >/dev/null 2>&1; then
      scancel --user="$(id -un)"
      wait_until 90 queue_is_empty || echo "Jobs are still running: $(squeue --noheader)" >&2
    fi
    for daemon in slurmctld slurmd munged; do  # munged last: the others use it
      if [ -s "$folder/$daemon.pid" ]; then
        pid=$(cat "$folder/$daemon.pid")
        kill "$pid" 2>/dev/null || true
        wait_until 30 has_ended "$pid" || kill -KILL "$pid"
      fi
    done
    ;;
  crash)
    for pid in $(of_node); do
      kill -KILL "$pid" 2>/dev/null || true
    done
    scontrol update nodename=localhost state=down reason=crash
    slurmd -N localhost
    wait_until 60 node_is_idle  # it returns by itself, and requeued jobs wait
    ;;
  *)
    echo "$usage" >&2
    exit 2
    ;;
esac
