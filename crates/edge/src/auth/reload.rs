//! Keys rotate: their files are looked at again and again, their addresses asked, and the last good
//! ones stay in use.

use super::issuer::Fetched;
use super::{Authenticator, jwks};
use crate::config::{AuthSection, IssuerSection};
use crate::shard::Orders;
use crate::watched::WatchedFiles;
use crate::web::WebAddress;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

/// How often a key set is fetched. Issuers publish new keys minutes before they sign with them.
const FETCH: Duration = Duration::from_secs(300);

/// How soon after a failure, or after a token with a key that nobody knows: an attacker could send
/// such tokens all the time.
const FETCH_AGAIN: Duration = Duration::from_secs(10);

/// How long an answer may take.
const FETCH_PATIENCE: Duration = Duration::from_secs(5);

/// Owned by its task, which runs until the edge ends.
struct Keeper {
    section: AuthSection,
    orders: watch::Sender<Orders>,
    fetched: Fetched,
    /// Mistakes that were said: once, and not every few seconds.
    told: Vec<String>,
}

/// Runs until the edge ends.
pub(crate) async fn keep_fresh(section: AuthSection, orders: watch::Sender<Orders>) {
    let mut files = WatchedFiles::new(key_files(&section));
    let has_addresses = section.issuers.iter().any(|issuer| issuer.jwks_url.is_some());
    let mut keeper = Keeper { section, orders, fetched: Fetched::new(), told: Vec::new() };
    let missed = keeper.known().map(|known| known.missed());
    let Some(missed) = missed else { return };
    let mut fetch_at = Instant::now();
    let mut fetched_at: Option<Instant> = None;
    loop {
        tokio::select! {
            biased;
            // Cancel-safe: it waits, and looks in one step.
            () = files.changed() => {}
            // A token's key is not known: perhaps it is new. Cancel-safe.
            () = missed.notified(), if has_addresses => {
                let soonest = fetched_at.map_or(fetch_at, |at| at + FETCH_AGAIN);
                fetch_at = fetch_at.min(soonest);
                continue;
            }
            // Cancel-safe.
            () = sleep_until(fetch_at), if has_addresses => {
                let is_well = keeper.fetch().await;
                let now = Instant::now();
                fetched_at = Some(now);
                fetch_at = now + if is_well { FETCH } else { FETCH_AGAIN };
            }
        }
        keeper.renew();
    }
}

/// The files that hold keys, and nothing that this process writes itself.
fn key_files(section: &AuthSection) -> Vec<PathBuf> {
    let files = |issuer: &IssuerSection| [issuer.key_file.clone(), issuer.jwks_file.clone()];
    section.issuers.iter().flat_map(files).flatten().map(PathBuf::from).collect()
}

impl Keeper {
    fn known(&self) -> Option<Arc<Authenticator>> {
        self.orders.borrow().authenticator.clone()
    }

    /// Asks every address. Answers whether all are well.
    async fn fetch(&mut self) -> bool {
        let mut is_well = true;
        for issuer in self.section.issuers.clone() {
            let Some(url) = &issuer.jwks_url else { continue };
            match fetch(url).await {
                Ok(set) => {
                    if self.fetched.get(url) != Some(&set) {
                        keep_copy(&issuer, &set);
                        self.fetched.insert(url.clone(), set);
                    }
                }
                Err(error) => {
                    is_well = false;
                    let issuer = &issuer.issuer;
                    warn!(issuer, url, error, "no key set: the last good one stays in use");
                }
            }
        }
        is_well
    }

    /// Orders what the keys are now, if that is something else.
    fn renew(&mut self) {
        let known = self.known();
        match newer(&self.section, &self.fetched, known.as_deref()) {
            Ok(newer) => {
                self.told.clear();
                if let Some(newer) = newer {
                    info!("new keys for tokens");
                    self.orders.send_modify(|orders| orders.authenticator = Some(Arc::new(newer)));
                }
            }
            Err(mistakes) if mistakes == self.told => {}
            Err(mistakes) => {
                warn!(?mistakes, "cannot read keys for tokens: the last good ones stay in use");
                self.told = mistakes;
            }
        }
    }
}

/// A key set from its address, which must be one.
async fn fetch(url: &str) -> Result<Vec<u8>, String> {
    let answer = WebAddress::parse(url)?.get(FETCH_PATIENCE).await?;
    if answer.status != 200 {
        return Err(format!("status {}", answer.status));
    }
    jwks::keys(&answer.body)?;
    Ok(answer.body.to_vec())
}

/// Keeps a good set for the next start. Written beside and moved, so that it is never half of one.
fn keep_copy(issuer: &IssuerSection, set: &[u8]) {
    let Some(copy) = &issuer.jwks_copy else { return };
    let (copy, beside) = (Path::new(copy), format!("{copy}.new"));
    let kept = std::fs::write(&beside, set).and_then(|()| std::fs::rename(&beside, copy));
    if let Err(error) = kept {
        warn!(copy = %copy.display(), %error, "cannot keep the key set for the next start");
    }
}

/// What the files and addresses hold now, if that is something else.
pub(super) fn newer(
    section: &AuthSection,
    fetched: &Fetched,
    known: Option<&Authenticator>,
) -> Result<Option<Authenticator>, Vec<String>> {
    let read = Authenticator::with(section, fetched)?;
    match known {
        Some(known) if known.fingerprint == read.fingerprint => Ok(None),
        Some(known) => Ok(Some(read.after(known))),
        None => Ok(Some(read)),
    }
}
