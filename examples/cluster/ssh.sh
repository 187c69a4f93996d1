#!/bin/bash
# One process on each host, without Slurm:  ./ssh.sh node1 node2 [-- OPTIONS OF train.py]
# All hosts see this folder under the same path. Ctrl-C or SIGTERM ends the processes, and the run is preempted.
set -euo pipefail
cd "$(dirname "$0")"
hosts=()
while (($#)) && [[ $1 != -- ]]; do hosts+=("$1"); shift; done
(($#)) && shift
id=${TRACKER_RUN_ID:-ssh-$(date +%Y%m%d-%H%M%S)}
store=${TRACKER_STORE:-$PWD/tracker-store}
options=$(printf ' %q' --checkpoint "checkpoint-$id.pt" "$@")

stop() {
    # Rank 0 first: it decides the state of the run, and fails if another rank is gone before it gets the signal.
    for rank in "${!hosts[@]}"; do
        ${SSH:-ssh} "${hosts[rank]}" "kill $(<"$id-$rank.pid")" </dev/null || true
    done
}
trap stop INT TERM

processes=()
for rank in "${!hosts[@]}"; do
    variables="TRACKER_STORE=$(printf %q "$store") TRACKER_RUN_ID=$id TRACKER_RESUME=allow RANK=$rank"
    variables+=" WORLD_SIZE=${#hosts[@]} MASTER_ADDR=${MASTER_ADDR:-${hosts[0]}} MASTER_PORT=${MASTER_PORT:-29500}"
    ${SSH:-ssh} "${hosts[rank]}" "cd $(printf %q "$PWD") && echo \$\$ >$id-$rank.pid && \
        exec env $variables ${PYTHON:-python} train.py$options" </dev/null &
    processes+=($!)
done
status=0
for process in "${processes[@]}"; do
    wait "$process" || status=$?
    # After a signal, `wait` returns before the process has ended.
    wait "$process" 2>/dev/null || status=$?
done
rm -f "$id"-*.pid
exit "$status"
