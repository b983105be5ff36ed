//! Tenants that share NATS subjects: each has a prefix of its own, which the edge alone puts in
//! front and takes away again. So no client can name, let alone reach, what is another tenant's.
//!
//! Not for: which tenant a client is of, which its token says.

use meridian_proto::{Filter, Subject, SubjectError};

/// Where a tenant's name stands in a prefix.
const PLACE: &str = "{tenant}";

/// How every tenant's prefix is made, such as `t.{tenant}.`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantPrefix(Box<str>);

/// One tenant's own prefix, such as `t.acme.`; empty where there are no tenants.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scope(Box<str>);

/// Why a text is no prefix, or a tenant has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TenantError {
    /// Not whole tokens with one place for the tenant.
    #[error("no prefix: it is whole tokens, one of them {{tenant}}, as in t.{{tenant}}.")]
    Prefix,
    /// The token names none.
    #[error("the token names no tenant, and this edge serves tenants only")]
    Missing,
    /// The tenant's name is not one subject token.
    #[error("the tenant is no single subject token: no dots, wildcards, spaces or braces")]
    Name,
}

impl TenantPrefix {
    /// Checks and keeps a prefix.
    ///
    /// # Errors
    /// [`TenantError::Prefix`].
    pub fn parse(text: &str) -> Result<Self, TenantError> {
        let tokens = text.strip_suffix('.').ok_or(TenantError::Prefix)?;
        let places = tokens.split('.').filter(|token| *token == PLACE).count();
        let sample = Subject::parse(&tokens.replace(PLACE, "x"));
        let has_others = tokens.replacen(PLACE, "", 1).contains(['{', '}']);
        if places != 1 || sample.is_err() || has_others {
            return Err(TenantError::Prefix);
        }
        Ok(Self(text.into()))
    }

    /// A tenant's own prefix.
    ///
    /// # Errors
    /// [`TenantError::Missing`] and [`TenantError::Name`].
    pub fn scope(&self, tenant: Option<&str>) -> Result<Scope, TenantError> {
        let tenant = tenant.ok_or(TenantError::Missing)?;
        let is_plain = !tenant.contains(['.', '*', '>', '{', '}']);
        if !is_plain || Subject::parse(&format!("x.{tenant}")).is_err() {
            return Err(TenantError::Name);
        }
        Ok(Scope(self.0.replace(PLACE, tenant).into()))
    }

    /// A namespace's pattern as NATS has it, for all tenants.
    ///
    /// # Errors
    /// When both together are too long.
    pub fn pattern(&self, pattern: &Filter) -> Result<Filter, SubjectError> {
        Filter::parse(&format!("{}{pattern}", self.0.replace(PLACE, "*")))
    }

    /// How many tokens it has.
    #[must_use]
    pub fn tokens(&self) -> usize {
        self.0.matches('.').count()
    }
}

impl Scope {
    /// A client's filter as NATS has it.
    ///
    /// # Errors
    /// When both together are too long.
    pub fn filter(&self, filter: &Filter) -> Result<Filter, SubjectError> {
        if self.0.is_empty() {
            return Ok(filter.clone());
        }
        Filter::parse(&format!("{}{filter}", self.0))
    }

    /// A client's subject as NATS has it.
    ///
    /// # Errors
    /// When both together are too long.
    pub fn subject(&self, subject: Subject) -> Result<Subject, SubjectError> {
        if self.0.is_empty() {
            return Ok(subject);
        }
        Subject::parse(&format!("{}{subject}", self.0))
    }

    /// A filter as NATS has it, as its client knows it. None for a filter of another scope.
    #[must_use]
    pub fn strip(&self, filter: &Filter) -> Option<Filter> {
        Filter::parse(filter.as_str().strip_prefix(&*self.0)?).ok()
    }

    /// Bytes of the prefix: what a delivered subject begins with that is not the client's business.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn prefix() -> TenantPrefix {
        TenantPrefix::parse("t.{tenant}.").unwrap()
    }

    #[test]
    fn a_prefix_is_whole_tokens_with_one_place_for_the_tenant() {
        assert_eq!(TenantPrefix::parse("{tenant}.").unwrap().tokens(), 1);
        assert_eq!(TenantPrefix::parse("a.{tenant}.b.").unwrap().tokens(), 3);
        for wrong in [
            "",
            ".",
            "t.",
            "t.{tenant}",
            "t{tenant}.",
            "{tenant}.{tenant}.",
            "_mrd.{tenant}.",
            "t.{user}.{tenant}.",
            "t.*.{tenant}.",
            "t..{tenant}.",
            ".{tenant}.",
            "$JS.{tenant}.",
        ] {
            assert_eq!(TenantPrefix::parse(wrong), Err(TenantError::Prefix), "{wrong}");
        }
    }

    #[test]
    fn a_tenant_is_one_token_or_has_no_scope() {
        assert_eq!(prefix().scope(None), Err(TenantError::Missing));
        for wrong in ["", "a.b", "*", ">", "a>b", "a b", "a\u{a0}b", "a\n", "{tenant}", "a.", "."] {
            assert_eq!(prefix().scope(Some(wrong)), Err(TenantError::Name), "{wrong:?}");
        }
    }

    #[test]
    fn what_is_put_in_front_is_taken_away_again() {
        let scope = prefix().scope(Some("acme")).unwrap();
        let filter = Filter::parse("orders.*.>").unwrap();
        let upstream = scope.filter(&filter).unwrap();
        assert_eq!(upstream.as_str(), "t.acme.orders.*.>");
        assert_eq!(scope.strip(&upstream), Some(filter.clone()));
        assert_eq!(prefix().pattern(&filter).unwrap().as_str(), "t.*.orders.*.>");
        let other = prefix().scope(Some("acm")).unwrap();
        assert_eq!(other.strip(&upstream), None);
        assert_eq!(Scope::default().filter(&filter), Ok(filter));
    }

    proptest! {
        #[test]
        fn no_filter_of_one_tenant_shares_a_subject_with_another(
            mine in "[a-z*>{}. -]{1,6}",
            others in "[a-z*>{}. -]{1,6}",
            asked in "[a-z*>.]{1,12}",
        ) {
            prop_assume!(mine != others);
            let scopes = (prefix().scope(Some(&mine)), prefix().scope(Some(&others)));
            let (Ok(mine), Ok(others)) = scopes else { return Ok(()) };
            let Ok(filter) = Filter::parse(&asked) else { return Ok(()) };
            let everything = Filter::parse(&format!("{}>", others.0)).unwrap();
            prop_assert!(!mine.filter(&filter).unwrap().overlaps(&everything));
        }
    }
}
