// Pick a study with Nextflow, a task per shard, then join the shards and find the channels that the sections share.
//
//   nextflow run examples/cohort.nf --study /data/study --out /data/out --shards 20 --options '--top 200'
//
// NOT RUN: the tests of this package have no Nextflow. The commands are those of cohort_slurm.sh and cohort.smk, which
// are run.
//
// `study` is a folder, a pattern or a CSV of samples; `out` a folder that all nodes share, or a URL (s3://bucket/study).
// Both must be absolute, because tasks run in folders of their own. What is done is not picked again, with or without
// -resume.

params.study = null
params.out = null
params.shards = 8
params.options = ''

process PICK {
    cpus 4
    memory '8 GB'
    errorStrategy 'retry'
    maxRetries 1

    input:
    val shard

    output:
    val shard

    script:
    """
    ionmorphnet cohort run '${params.study}' -o '${params.out}' --shard ${shard}/${params.shards} --failures-ok \\
        --threads ${task.cpus} --memory-limit ${(task.memory.toMega() * 0.8) as int}MB ${params.options}
    """
}

process CHANNELS {
    cpus 2
    memory '8 GB'

    input:
    val shards

    output:
    stdout

    script:
    """
    ionmorphnet cohort merge '${params.out}'
    ionmorphnet cohort consensus '${params.out}'
    ionmorphnet cohort status '${params.out}' --failed || true
    """
}

workflow {
    if (!params.study || !params.out) {
        error 'give --study and --out'
    }
    PICK(Channel.of(1..(params.shards as int)))
    CHANNELS(PICK.out.collect())
    CHANNELS.out.view()
}
