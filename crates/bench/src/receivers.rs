//! The receiving side: N subscribed sockets over a few threads, each thread with its own
//! single-threaded runtime.
//!
//! Not a fair client: it never falls behind on purpose, and it reads no payload beyond the stamp.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::JoinHandle;

use tokio::sync::{mpsc, watch};
use tokio::task::LocalSet;

use crate::Error;
use crate::dialect::Dialect;
use crate::handshake;
use crate::socket::{Desk, Socket};

pub use crate::socket::Tally;

/// Handshakes in flight a thread: bounds the rate to what the server answers, and stays below a
/// listen backlog.
const CONNECTING_MAX: usize = 64;

/// What the run watches while it goes on; written by the receiving threads once a read.
#[derive(Debug, Default)]
pub struct Counters {
    /// Sockets that stand subscribed.
    pub open: AtomicU64,
    /// Messages received, duplicates included.
    pub received: AtomicU64,
    /// Sockets that the server closed.
    pub closed: AtomicU64,
    /// Latency counts for messages sent from this time on.
    pub measure_from_ns: AtomicU64,
}

/// The running receivers. Owned by the run; dropping it ends them.
#[derive(Debug)]
pub struct Receivers {
    /// What has happened so far.
    pub counters: Arc<Counters>,
    sockets: u64,
    failures: mpsc::Receiver<Error>,
    stop: watch::Sender<()>,
    threads: Vec<JoinHandle<Result<Tally, Error>>>,
}

impl Receivers {
    /// Starts `threads` threads that open a socket for each of `subjects`. Does not wait for them:
    /// see [`Receivers::all_open`].
    ///
    /// # Errors
    /// [`Error::Generator`] when a thread cannot be started.
    pub fn start<D: Dialect>(
        dialect: &D,
        subjects: Vec<String>,
        threads: usize,
    ) -> Result<Self, Error> {
        let counters = Arc::new(Counters::default());
        counters.measure_from_ns.store(u64::MAX, Relaxed);
        let (failed, failures) = mpsc::channel(1);
        let (stop, stopped) = watch::channel(());
        let sockets = subjects.len();
        let mut receivers =
            Self { counters, sockets: sockets as u64, failures, stop, threads: Vec::new() };
        for share in subjects.chunks(sockets.div_ceil(threads.max(1)).max(1)) {
            let share = Share {
                dialect: dialect.clone(),
                subjects: share.to_vec(),
                counters: Arc::clone(&receivers.counters),
                failed: failed.clone(),
            };
            let stopped = stopped.clone();
            let thread = std::thread::Builder::new()
                .name("bench-receive".into())
                .spawn(move || share.run(stopped))
                .map_err(|e| Error::Generator(e.to_string()))?;
            receivers.threads.push(thread);
        }
        Ok(receivers)
    }

    /// True once every socket stands subscribed.
    ///
    /// # Errors The first socket's failure: a run with fewer sockets than asked for would compare
    /// unlike things.
    pub fn all_open(&mut self) -> Result<bool, Error> {
        match self.failures.try_recv() {
            Ok(error) => Err(error),
            Err(_) => Ok(self.counters.open.load(Relaxed) == self.sockets),
        }
    }

    /// Closes every socket and adds up what the threads have seen.
    ///
    /// # Errors
    /// [`Error::Generator`] when a thread panicked, or its own error.
    pub fn finish(self) -> Result<Tally, Error> {
        let _no_thread_left = self.stop.send(());
        let mut sum = Tally::new();
        for thread in self.threads {
            let tally = thread
                .join()
                .map_err(|_| Error::Generator("a receiving thread panicked".into()))??;
            sum.merge(&tally);
        }
        Ok(sum)
    }
}

/// One thread's part.
struct Share<D> {
    dialect: D,
    subjects: Vec<String>,
    counters: Arc<Counters>,
    failed: mpsc::Sender<Error>,
}

impl<D: Dialect> Share<D> {
    fn run(self, mut stopped: watch::Receiver<()>) -> Result<Tally, Error> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| Error::Generator(e.to_string()))?;
        let desk = Rc::new(RefCell::new(Desk::new(Arc::clone(&self.counters))));
        let sockets = LocalSet::new();
        let share = Rc::new(self);
        let next = Rc::new(Cell::new(0));
        for _ in 0..CONNECTING_MAX.min(share.subjects.len()) {
            sockets.spawn_local(connect(Rc::clone(&share), Rc::clone(&next), Rc::clone(&desk)));
        }
        // Ends by the signal or because the run was dropped; either way the sockets go with the
        // set.
        let _signal = sockets.block_on(&runtime, stopped.changed());
        drop(sockets);
        let desk = Rc::into_inner(desk).expect("the tasks that shared the desk are dropped");
        Ok(desk.into_inner().tally)
    }
}

/// Opens one socket after the other until the share has them all, or until one fails.
async fn connect<D: Dialect>(share: Rc<Share<D>>, next: Rc<Cell<usize>>, desk: Rc<RefCell<Desk>>) {
    while let Some(subject) = share.subjects.get(next.get()) {
        next.set(next.get() + 1);
        match handshake::open(&share.dialect, subject).await {
            Ok((stream, walker)) => {
                let socket = Socket::new(share.dialect.clone(), stream, walker);
                tokio::task::spawn_local(socket.receive(Rc::clone(&desk)));
                share.counters.open.fetch_add(1, Relaxed);
            }
            Err(error) => {
                // Only the first failure is told; the channel holds one.
                let _told = share.failed.try_send(error);
                return;
            }
        }
    }
}
