package local_aws;

import org.apache.hadoop.mapreduce.JobContext;
import org.apache.hadoop.mapreduce.OutputCommitter;
import org.apache.hadoop.mapreduce.TaskAttemptContext;

/**
 * Leaves files where Spark writes them: in their place from the start, since this is no FileOutputCommitter.
 *
 * A task that fails leaves its files behind. That is right for prefixes that count only when a manifest names them.
 */
public class DirectOutputCommitter extends OutputCommitter {
    public void setupJob(JobContext job) {}

    public void setupTask(TaskAttemptContext task) {}

    public boolean needsTaskCommit(TaskAttemptContext task) {
        return false;
    }

    public void commitTask(TaskAttemptContext task) {}

    public void abortTask(TaskAttemptContext task) {}
}
