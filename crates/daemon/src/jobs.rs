//! Long work with the log, a batch at a time: the node goes on meanwhile.

use std::{
    collections::VecDeque,
    fs::File,
    io::{BufReader, BufWriter},
    path::Path,
};

use data_encoding::HEXLOWER;
use samizdat_api::{self as api, ApiError, Destination, Request, Response};
use samizdat_core::{EnvelopeId, Now};
use samizdat_engine::{Engine, Export, FileError, Import, Verification};
use tokio::sync::oneshot;

use crate::convert;
use crate::limits::JOBS_MAX;
use crate::requests::{Answered, file_error, store};

/// What is under way, and who waits for it.
#[derive(Default)]
pub(crate) struct Jobs(VecDeque<(Job, oneshot::Sender<Answered>)>);

enum Job {
    Import(Import<BufReader<File>>),
    Export(Export<BufWriter<File>>),
    Verify(Verification),
}

impl Jobs {
    /// Whether there is something to do.
    pub(crate) fn any(&self) -> bool {
        !self.0.is_empty()
    }

    /// Takes a request that is a job; gives back any other.
    pub(crate) fn begin(
        &mut self,
        request: Request,
        answer: oneshot::Sender<Answered>,
        engine: &mut Engine,
        now: Now,
    ) -> Option<(Request, oneshot::Sender<Answered>)> {
        let job = match &request {
            Request::LogImport { path } => import(path),
            Request::LogExport { path, of } => match of.as_ref().map(|of| bundle(engine, of, now)).transpose() {
                Ok(only) => export(path, only),
                Err(error) => {
                    let _ = answer.send(Err(error));
                    return None;
                }
            },
            Request::LogVerify => Ok(Job::Verify(Verification::default())),
            _ => return Some((request, answer)),
        };
        let refused = match job {
            Ok(job) if self.0.len() < JOBS_MAX => {
                self.0.push_back((job, answer));
                return None;
            }
            Ok(_) => ApiError::refused("the log is being read or written already: try again when that is done"),
            Err(error) => file_error(error),
        };
        // Whoever asked may have gone.
        let _ = answer.send(Err(refused));
        None
    }

    /// Does one batch of the job whose turn it is.
    pub(crate) fn step(&mut self, engine: &mut Engine, now: Now) {
        let Some((mut job, answer)) = self.0.pop_front() else { return };
        // Nobody needs half an answer, but what is half imported is better whole.
        if answer.is_closed() && !matches!(job, Job::Import(_)) {
            return;
        }
        match job.step(engine, now) {
            Ok(None) => self.0.push_back((job, answer)),
            Ok(Some(response)) => {
                let _ = answer.send(Ok(response));
            }
            Err(error) => {
                let _ = answer.send(Err(error));
            }
        }
    }
}

impl Job {
    fn step(&mut self, engine: &mut Engine, now: Now) -> Result<Option<Response>, ApiError> {
        match self {
            Self::Import(import) => {
                let done = import.step(engine, now).map_err(file_error)?;
                Ok(done.map(|done| {
                    Response::Imported(api::Imported { new: done.new, duplicate: done.duplicate, refused: done.refused })
                }))
            }
            Self::Export(export) => Ok(export.step(engine).map_err(file_error)?.map(|_| Response::Done)),
            Self::Verify(verification) => {
                let done = verification.step(engine).map_err(store)?;
                Ok(done.map(|(checked, bad)| {
                    let bad = bad.iter().map(|id| HEXLOWER.encode(&id.0)).collect();
                    Response::LogCheck(api::LogCheck { checked, bad })
                }))
            }
        }
    }
}

fn import(path: &Path) -> Result<Job, FileError> {
    Ok(Job::Import(Import::new(BufReader::new(File::open(path)?))?))
}

fn export(path: &Path, only: Option<Vec<EnvelopeId>>) -> Result<Job, FileError> {
    Ok(Job::Export(Export::new(BufWriter::new(File::create(path)?), only)?))
}

/// The envelopes of one conversation.
fn bundle(engine: &mut Engine, of: &Destination, now: Now) -> Result<Vec<EnvelopeId>, ApiError> {
    let found = engine.command(now, |chat, _| {
        let conversation = match of {
            Destination::Who(who) => chat.find_conversation(who)?,
            Destination::Room(room) => chat.find_room(room)?,
            Destination::Cluster(cluster) | Destination::Member { cluster, .. } | Destination::Anonymous { cluster, .. } => {
                chat.find_cluster_conversation(cluster)?
            }
        };
        chat.bundle(conversation)
    });
    found.map_err(convert::error)
}
