#!/usr/bin/env bash
# A throw-away Slurm cluster on this machine's loopback, without systemd and without touching /etc.
#
#   lab.sh install            Debian/Ubuntu packages, as root
#   lab.sh up [NODES] [PID]   start; when process PID ends, the cluster is taken down
#   lab.sh down               end all jobs, daemons and processes of jobs
#   lab.sh env                prints what a shell needs:  eval "$(tests/slurm/lab.sh env)"
#
# LAB        folder of all its state (default /tmp/gantrain-slurm-lab)
# LAB_PORT   first of 200 ports (default 17000)
# LAB_CPUS   CPUs that each node claims to have (default 8; more than there are is fine)
# LAB_GRACE  seconds that a preempted job keeps (default 20)
#
# Partitions: low (default; is preempted and requeued) and high. Each node claims two GPUs, which are
# harmless devices: jobs get a CUDA_VISIBLE_DEVICES, but no GPU.
set -euo pipefail

LAB=${LAB:-/tmp/gantrain-slurm-lab}
CONF=$LAB/slurm.conf
PORT=${LAB_PORT:-17000}
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
HOST=$(hostname -s)
ME=$(id -un)

# The first node bears this machine's own name: it must resolve, since ranks meet at it. The other
# names are known to Slurm only; in sorted lists they come after the first.
node() { if [ "$1" -eq 0 ]; then echo "$HOST"; else echo "${HOST}x$1"; fi; }

install() {
  [ "$(id -u)" -eq 0 ] || { echo "not root, cannot install slurm-wlm and munge" >&2; return 1; }
  command -v apt-get >/dev/null || { echo "no apt-get here to install Slurm with" >&2; return 1; }
  export DEBIAN_FRONTEND=noninteractive
  { apt-get update && apt-get install -y --no-install-recommends slurm-wlm munge; } >&2
}

configure() {
  local nodes=$1 cpus=${LAB_CPUS:-8} i names=""
  cat <<END
ClusterName=lab
SlurmctldHost=$HOST(127.0.0.1)
SlurmctldPort=$PORT
SlurmUser=$ME
SlurmdUser=$ME
AuthType=auth/munge
AuthInfo=socket=$LAB/munge/munge.socket
CredType=cred/munge
# Nothing listens outside of loopback.
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SrunPortRange=$((PORT + 100))-$((PORT + 199))
StateSaveLocation=$LAB/ctld
SlurmdSpoolDir=$LAB/slurmd.%n
SlurmctldPidFile=$LAB/slurmctld.pid
SlurmdPidFile=$LAB/slurmd.%n.pid
SlurmctldLogFile=$LAB/slurmctld.log
SlurmdLogFile=$LAB/slurmd.%n.log
MailProg=/bin/true
# Without cgroups: processes are found by their parents, memory is not watched.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
# A node may claim CPUs and memory that it does not have.
SlurmdParameters=config_overrides
GresTypes=gpu
ReturnToService=2
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=1,sched_interval=2,sched_min_interval=0,batch_sched_delay=0
JobRequeue=1
KillWait=5
MinJobAge=3600
CompleteWait=0
InactiveLimit=0
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
END
  for ((i = 0; i < nodes; i++)); do
    names+="${names:+,}$(node "$i")"
    echo "NodeName=$(node "$i") NodeHostname=$HOST NodeAddr=127.0.0.1 Port=$((PORT + 10 + i))" \
      "CPUs=$cpus RealMemory=1000000 Gres=gpu:2 State=UNKNOWN"
  done
  echo "PartitionName=low Nodes=$names Default=YES MaxTime=INFINITE State=UP PriorityTier=1" \
    "PreemptMode=REQUEUE GraceTime=${LAB_GRACE:-20}"
  echo "PartitionName=high Nodes=$names MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=OFF"
}

up() {
  local nodes=${1:-1} guard=${2:-} i
  command -v slurmctld >/dev/null && command -v munged >/dev/null ||
    { echo "Slurm and munge are not installed (as root: $0 install)" >&2; return 1; }
  [ ! -e "$CONF" ] || { echo "$LAB is in use: $0 down" >&2; return 1; }
  mkdir -p "$LAB"/{ctld,munge}
  chmod 700 "$LAB/ctld"
  for ((i = 0; i < nodes; i++)); do mkdir -p "$LAB/slurmd.$(node "$i")"; done
  export SLURM_CONF=$CONF  # also marks every process of the cluster, see below
  (umask 077 && head -c 128 /dev/urandom > "$LAB/munge/munge.key")
  # --force: it must not mind who may look into the folders above.
  munged --force --socket="$LAB/munge/munge.socket" --key-file="$LAB/munge/munge.key" \
    --pid-file="$LAB/munge/munged.pid" --log-file="$LAB/munge/munged.log" \
    --seed-file="$LAB/munge/munged.seed"
  configure "$nodes" > "$CONF"
  echo 'CgroupAutomount=no' > "$LAB/cgroup.conf"
  printf 'Name=gpu File=/dev/%s\n' null zero > "$LAB/gres.conf"
  slurmctld -f "$CONF"
  for ((i = 0; i < nodes; i++)); do slurmd -f "$CONF" -N "$(node "$i")"; done
  if [ -n "$guard" ]; then
    env -u SLURM_CONF setsid bash "$HERE/lab.sh" guard "$guard" > /dev/null 2>&1 < /dev/null &
  fi
  for ((i = 0; i < 100; i++)); do
    [ "$(sinfo -h -N -p low -t idle -o %N 2>/dev/null | wc -l)" -eq "$nodes" ] && return 0
    sleep 0.2
  done
  echo "the nodes did not come up" >&2
  sinfo >&2 || true
  tail -n 5 "$LAB"/*.log >&2
  return 1
}

guard() {
  while kill -0 "$1" 2>/dev/null && [ -e "$CONF" ]; do sleep 2; done
  down
}

# Every process of the cluster has its slurm.conf in its environment, also one that left its group.
# So has a shell that ran `env` and calls this script: our own ancestors are left alone.
processes() {
  local pid=$$ mine=" "
  while [ "${pid:-0}" -gt 1 ]; do
    mine+="$pid "
    pid=$(ps -o ppid= -p "$pid" | tr -d ' ')
  done
  for pid in $(env -u SLURM_CONF grep -lsz "^SLURM_CONF=$CONF\$" /proc/[0-9]*/environ | cut -d/ -f3); do
    [ "${mine/ $pid /}" != "$mine" ] || echo "$pid"
  done
}

down() {
  [ -e "$CONF" ] || return 0
  local pid i
  unset SLURM_CONF
  SLURM_CONF=$CONF timeout 5 scancel --user="$ME" 2>/dev/null || true
  for pid in "$LAB"/slurmd.*.pid "$LAB"/slurmctld.pid "$LAB"/munge/munged.pid; do
    if [ -s "$pid" ]; then kill "$(cat "$pid")" 2>/dev/null || true; fi
  done
  for ((i = 0; i < 25; i++)); do
    [ -n "$(processes)" ] || break
    sleep 0.2
  done
  for pid in $(processes); do kill -9 "$pid" 2>/dev/null || true; done
  rm -f "$CONF"
}

case "${1:-}" in
  install | up | down | guard) "$@" ;;
  env)
    # Slurm's own variables of an enclosing job would mislead; the stand-in for sacct comes first.
    echo "unset \${!SLURM_*}; export SLURM_CONF='$CONF' PATH='$HERE/bin':\$PATH"
    ;;
  *) sed -n '2,/^set/{/^#/p}' "$0" && exit 2 ;;
esac
