package local_aws;

import java.io.IOException;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;
import org.apache.hadoop.fs.FSDataInputStream;
import org.apache.hadoop.fs.FileStatus;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.fs.s3a.S3AFileSystem;
import org.apache.hadoop.util.functional.FutureIO;

/**
 * S3A that remembers of each file what the newest listing said of it, and does not ask S3 for that again.
 *
 * Spark lists a prefix at each read of it, and Parquet then asks four times how long each file is.
 */
public class ListedFileSystem extends S3AFileSystem {
    private static final int MOST = 10000;

    private final Map listed = Collections.synchronizedMap(new LinkedHashMap() {
        protected boolean removeEldestEntry(Map.Entry eldest) {
            return size() > MOST;
        }
    });

    public FileStatus[] listStatus(Path path) throws IOException {
        FileStatus[] found = super.listStatus(path);
        for (int i = 0; i < found.length; i++) {
            if (found[i].isFile()) {
                listed.put(found[i].getPath().toUri().getPath(), found[i]);
            }
        }
        return found;
    }

    public FileStatus getFileStatus(Path path) throws IOException {
        FileStatus known = known(path);
        return known == null ? super.getFileStatus(path) : known;
    }

    public FSDataInputStream open(Path path, int bufferSize) throws IOException {
        FileStatus known = known(path);
        if (known == null) {
            return super.open(path, bufferSize);
        }
        return (FSDataInputStream) FutureIO.awaitFuture(openFile(path).withFileStatus(known).build());
    }

    private FileStatus known(Path path) {
        return (FileStatus) listed.get(path.toUri().getPath());
    }
}
