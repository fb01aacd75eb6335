# Pick a study with Snakemake, a job per shard, then join the shards and find the channels that the sections share.
#
#   snakemake -s examples/cohort.smk --cores 8 --config study=study out=out shards=20 options='--top 200'
#
# `study` is a folder, a pattern or a CSV of samples; paths are relative to the folder in which Snakemake runs. Sections
# that cannot be picked are listed at the end and stop no other. To look for new and changed sections, add `-R pick`: what
# is done is not picked again. The manifests are no outputs of the rules, because Snakemake would remove them.
from shlex import quote

STUDY, OUT = str(config["study"]), str(config["out"])
SHARDS = int(config.get("shards", 8))
OPTIONS = str(config.get("options", ""))


rule all:
    input:
        f"{OUT}/consensus/channels.csv",


rule pick:
    output:
        touch(f"{OUT}/shards/{{i}}of{SHARDS}.done"),
    threads: 4
    resources:
        mem_mb=8000,
    params:
        study=quote(STUDY),
        out=quote(OUT),
        memory=lambda wildcards, resources: int(resources.mem_mb * 0.8),
    shell:
        "ionmorphnet cohort run {params.study} -o {params.out} --shard {wildcards.i}/{SHARDS} --failures-ok"
        " --threads {threads} --memory-limit {params.memory}MB {OPTIONS}"


rule channels:
    input:
        expand(f"{OUT}/shards/{{i}}of{SHARDS}.done", i=range(1, SHARDS + 1)),
    output:
        f"{OUT}/consensus/channels.csv",
    params:
        out=quote(OUT),
    shell:
        "ionmorphnet cohort merge {params.out} && ionmorphnet cohort consensus {params.out}"
        " && (ionmorphnet cohort status {params.out} --failed || true)"
