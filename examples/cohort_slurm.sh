#!/bin/bash
# Pick a study as a Slurm job array, then join the shards and find the channels that the sections share.
#
#   examples/cohort_slurm.sh STUDY OUT SHARDS [OPTION...]      such as  study out 20 --top 200
#
# STUDY is a folder, a pattern or a CSV of samples, OUT a folder that all nodes share, or a URL (s3://bucket/study). Each
# shard is one task of the array. Options are those of `ionmorphnet cohort run`. Run it again to do what is missing: after
# a time limit, lost nodes, or with more sections. Change the resources below to those of your cluster and your files.
set -euo pipefail

study=$1 out=$2 shards=$3
shift 3

if [ -n "${SLURM_ARRAY_TASK_ID:-}" ]; then
  # A task of the array. Sections that cannot be picked are in the manifest; they are no reason to stop the others.
  exec ionmorphnet cohort run "$study" -o "$out" --shard "$SLURM_ARRAY_TASK_ID/$shards" --failures-ok \
    --threads "${SLURM_CPUS_PER_TASK:-1}" --memory-limit "$((${SLURM_MEM_PER_NODE:-4000} * 8 / 10))MB" "$@"
elif [ -n "${SLURM_JOB_ID:-}" ]; then
  # The job after the array.
  ionmorphnet cohort merge "$out"
  ionmorphnet cohort consensus "$out"
  exec ionmorphnet cohort status "$out" --failed  # the job fails if sections did
else
  array=$(sbatch --parsable --job-name imn-pick --array "1-$shards" --cpus-per-task 4 --mem 8G --time 4:00:00 \
    "$0" "$study" "$out" "$shards" "$@")
  # afterany, not afterok: what the lost tasks left out is done by the next call.
  sbatch --parsable --job-name imn-channels --dependency "afterany:${array%%;*}" --cpus-per-task 2 --mem 8G --time 1:00:00 \
    "$0" "$study" "$out" "$shards"
fi
