//! Who has how many connections, over all shards: the one thing that shards share, because the
//! connections of one client are spread over them.
//!
//! Behind a lock that is held for some instructions, when a connection begins and when it ends.
//! Nothing on the message path comes here (ADR 0025).

use crate::config::LimitsSection;
use meridian_core::census::{Census, Share, Turned};
use meridian_core::limit::Limit;
use meridian_core::permission::Identity;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// When whoever has as many connections as it may should try again, in s: one of them has to end.
const AFTER_FULL_S: u64 = 10;

/// Whose connections are counted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Party {
    /// A client address, as `meridian_core::address::client_key` has it.
    Address(IpAddr),
    /// A user; the same name is another user in another tenant.
    User(Identity),
    Tenant(String),
}

/// Owned by the edge; every shard holds it.
#[derive(Debug)]
pub(crate) struct Parties {
    address: Share,
    user: Share,
    tenant: Share,
    started: Instant,
    census: Mutex<Census<Party>>,
}

/// A connection's place among those of its party, until it is dropped. Owned by the connection.
#[derive(Debug)]
pub(crate) struct Seat {
    parties: Arc<Parties>,
    party: Party,
}

/// Why a party gets no seat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoSeat {
    pub(crate) limit: Limit,
    /// When another try makes sense, in s.
    pub(crate) after_s: u64,
}

impl Parties {
    pub(crate) fn new(limits: &LimitsSection) -> Self {
        Self {
            address: limits.of_address(),
            user: limits.of_user(),
            tenant: limits.of_tenant(),
            started: Instant::now(),
            census: Mutex::default(),
        }
    }

    /// A seat for a socket or stream of a client address. None where there is no limit.
    ///
    /// # Errors
    /// The limit that was reached.
    pub(crate) fn seat_address(self: &Arc<Self>, client: IpAddr) -> Result<Option<Seat>, NoSeat> {
        let limits = (Limit::AddressConnections, Limit::AddressRate);
        self.enter(Party::Address(client), self.address, limits)
    }

    /// Seats for a session, one for its user and one for its tenant, where there are limits.
    ///
    /// # Errors
    /// The limit that was reached; then no seat is taken.
    pub(crate) fn seat_identity(
        self: &Arc<Self>,
        identity: &Identity,
    ) -> Result<Vec<Seat>, NoSeat> {
        let user = Party::User(identity.clone());
        let limits = (Limit::UserConnections, Limit::UserConnections);
        let mut seats = Vec::from_iter(self.enter(user, self.user, limits)?);
        if let Some(tenant) = &identity.tenant {
            let limits = (Limit::TenantConnections, Limit::TenantConnections);
            seats.extend(self.enter(Party::Tenant(tenant.clone()), self.tenant, limits)?);
        }
        Ok(seats)
    }

    fn enter(
        self: &Arc<Self>,
        party: Party,
        share: Share,
        (full, fast): (Limit, Limit),
    ) -> Result<Option<Seat>, NoSeat> {
        if share == Share::default() {
            return Ok(None);
        }
        let now_ms = self.started.elapsed().as_millis() as u64;
        let entered = self.census().enter(party.clone(), share, now_ms);
        match entered {
            Ok(()) => Ok(Some(Seat { parties: Arc::clone(self), party })),
            Err(Turned::Full) => Err(NoSeat { limit: full, after_s: AFTER_FULL_S }),
            Err(Turned::Fast(after_ms)) => {
                Err(NoSeat { limit: fast, after_s: after_ms.div_ceil(1_000) })
            }
        }
    }

    /// A panic elsewhere leaves whole counts behind: nothing in here can panic halfway.
    fn census(&self) -> MutexGuard<'_, Census<Party>> {
        self.census.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.parties.census().leave(&self.party);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(user: &str, tenant: Option<&str>) -> Identity {
        Identity { user: user.into(), tenant: tenant.map(String::from) }
    }

    #[test]
    fn a_refused_tenant_takes_no_seat_of_its_user_and_users_of_two_tenants_are_two() {
        let limits = LimitsSection {
            connections_per_user_max: 2,
            connections_per_tenant_max: 3,
            ..LimitsSection::default()
        };
        let parties = Arc::new(Parties::new(&limits));
        let seat = |user, tenant| parties.seat_identity(&identity(user, tenant));
        let held = [seat("ann", Some("a")), seat("ann", Some("a"))];
        assert!(held.iter().all(|seats| seats.as_ref().is_ok_and(|seats| seats.len() == 2)));
        assert_eq!(seat("ann", Some("a")).unwrap_err().limit, Limit::UserConnections);
        let _other_tenant = seat("ann", Some("b")).unwrap();
        let _no_tenant = seat("ann", None).unwrap();
        let third = seat("bob", Some("a")).unwrap();
        for _ in 0..3 {
            assert_eq!(seat("cid", Some("a")).unwrap_err().limit, Limit::TenantConnections);
        }
        drop(third);
        let _two = [seat("cid", Some("a")).unwrap()];
        drop(held);
        let _again = [seat("cid", Some("a")).unwrap(), seat("ann", Some("a")).unwrap()];
        assert_eq!(seat("bob", Some("a")).unwrap_err().limit, Limit::TenantConnections);
    }
}
