package local_aws;

import org.apache.hadoop.mapreduce.JobContext;
import org.apache.hadoop.mapreduce.TaskAttemptContext;
import org.apache.spark.internal.io.FileCommitProtocol;
import scala.Option;
import scala.collection.Seq;

/**
 * Lets tasks write files in their place from the start, and asks the file system for nothing: neither jobs nor tasks have anything to commit.
 *
 * A task that fails leaves its files behind. That is right for prefixes that count only when a manifest names them.
 */
public class DirectCommitProtocol extends FileCommitProtocol implements java.io.Serializable {
    private final String jobId;
    private final String path;

    public DirectCommitProtocol(String jobId, String path) {
        this.jobId = jobId;
        this.path = path;
    }

    public String newTaskTempFile(TaskAttemptContext task, Option dir, String ext) {
        String folder = dir.isDefined() ? path + "/" + dir.get() : path;
        return newTaskTempFileAbsPath(task, folder, ext);
    }

    public String newTaskTempFileAbsPath(TaskAttemptContext task, String folder, String ext) {
        return String.format("%s/part-%05d-%s%s", new Object[] {folder, task.getTaskAttemptID().getTaskID().getId(), jobId, ext});
    }

    public FileCommitProtocol.TaskCommitMessage commitTask(TaskAttemptContext task) {
        return new FileCommitProtocol.TaskCommitMessage(null);
    }

    public void setupJob(JobContext job) {}

    public void commitJob(JobContext job, Seq commits) {}

    public void abortJob(JobContext job) {}

    public void setupTask(TaskAttemptContext task) {}

    public void abortTask(TaskAttemptContext task) {}
}
