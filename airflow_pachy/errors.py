"""Every error that airflow_pachy raises on purpose, as one tree.

    PachyError
    ├── NotFound (LookupError)
    │   ├── RepoNotFound  BranchNotFound  CommitNotFound  PipelineNotFound  JobNotFound  DatumNotFound
    │   ├── TagNotFound
    │   ├── CommitForgotten                      the commit is known, its data was given up
    │   └── PathNotFound (FileNotFoundError)
    ├── AlreadyExists (FileExistsError)
    ├── InvalidArgument (ValueError)
    │   └── InvalidName  InvalidPath  InvalidGlob  InvalidAddress  InvalidSpec
    ├── Conflict
    │   ├── CommitFinished  CommitOpen  BranchMoved  HasDependents
    │   ├── PathConflict (FileExistsError)       a file where a directory is, or the reverse
    │   └── OutputCollision                      two datums wrote one path
    ├── Denied (PermissionError)
    │   └── StoreDenied                          the object store refused our credentials
    ├── Unavailable (ConnectionError)
    │   ├── StoreUnavailable
    │   └── MetadataUnavailable
    │       └── MetadataContended                the database gave our transaction up for the sake of others
    ├── ObjectNotFound (FileNotFoundError)       a key is not in the object store
    ├── ObjectExists (FileExistsError)           a create-only write found the key taken
    ├── StoreUnfit                               the store lacks something that we rely on
    ├── SchemaMismatch                           the metadata tables are older or newer than the code
    ├── Corrupt                                  stored bytes are not what their name says
    ├── PipelineStopped                          a job was asked of a pipeline that is stopped
    ├── NothingNew                               no input has a commit that the pipeline has not read
    └── JobFailed
        └── DatumFailed

Messages say what was wrong, where, and what to do about it; a caller may print them as they are.
The builtin bases let code that knows nothing of us (`except FileNotFoundError`) do the right thing.
"""


class PachyError(Exception):
    """Base of every error raised on purpose by airflow_pachy."""


class NotFound(PachyError, LookupError):
    """Something that was named does not exist."""

    def __str__(self) -> str:
        # KeyError and OSError relatives would decorate the message; we print it as written.
        return str(self.args[0]) if self.args else ""


class RepoNotFound(NotFound):
    """No repo of this name."""


class BranchNotFound(NotFound):
    """The repo has no branch of this name."""


class CommitNotFound(NotFound):
    """No commit answers to this id or ancestry expression."""


class TagNotFound(NotFound):
    """The repo has no tag of this name."""


class CommitForgotten(NotFound):
    """The commit's files were given up on purpose; its metadata and provenance remain."""


class PipelineNotFound(NotFound):
    """No pipeline of this name has run or been created."""


class JobNotFound(NotFound):
    """No job of this id."""


class DatumNotFound(NotFound):
    """The job has no datum of this id."""


class PathNotFound(NotFound, FileNotFoundError):
    """The commit has no file or directory at this path."""


class AlreadyExists(PachyError, FileExistsError):
    """The name is taken."""


class InvalidArgument(PachyError, ValueError):
    """An argument cannot mean anything here."""


class InvalidName(InvalidArgument):
    """Not a legal repo, branch or pipeline name."""


class InvalidPath(InvalidArgument):
    """Not a legal path inside a repo."""


class InvalidGlob(InvalidArgument):
    """A glob pattern that does not parse."""


class InvalidAddress(InvalidArgument):
    """Not of the form repo@branch:/path (or one of its shorter forms)."""


class InvalidSpec(InvalidArgument):
    """A pipeline spec or operator argument that cannot be run."""


class Conflict(PachyError):
    """The request contradicts the present state."""


class CommitFinished(Conflict):
    """A finished commit cannot change."""


class CommitOpen(Conflict):
    """The branch has an open commit, or the commit is not finished yet."""


class BranchMoved(Conflict):
    """Other writers moved the branch again and again, or changed the same path."""


class HasDependents(Conflict):
    """Something else is built on what was to be deleted."""


class PathConflict(Conflict, FileExistsError):
    """A file where a directory is, or a directory where a file is."""


class OutputCollision(Conflict):
    """Two datums of one job wrote the same path."""


class Denied(PachyError, PermissionError):
    """The principal may not do this."""


class StoreDenied(Denied):
    """The object store refused the credentials."""


class Unavailable(PachyError, ConnectionError):
    """A service we need did not answer; trying again later may help."""


class StoreUnavailable(Unavailable):
    """The object store did not answer within the retry budget."""


class MetadataUnavailable(Unavailable):
    """The metadata database did not answer."""


class MetadataContended(MetadataUnavailable):
    """The database rolled the transaction back because of others (a deadlock, a lock held for too long)."""


class ObjectNotFound(PachyError, FileNotFoundError):
    """The object store has no object of this key."""


class ObjectExists(PachyError, FileExistsError):
    """A create-only write found the key taken."""


class StoreUnfit(PachyError):
    """The object store lacks a behaviour that correctness rests on."""


class SchemaMismatch(PachyError):
    """The tables of the metadata database are missing, or of another version than this code."""


class Corrupt(PachyError):
    """Stored bytes do not match the hash or the format that names them."""


class PipelineStopped(PachyError):
    """A job was asked of a pipeline that somebody has stopped."""


class NothingNew(PachyError):
    """A job was asked for only if there is something new to read, and there is not."""


class JobFailed(PachyError):
    """A job ended without publishing."""


class DatumFailed(JobFailed):
    """User code failed on a datum after all its tries."""
