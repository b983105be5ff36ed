//! A promotion for people, with the signs of a plan.

use std::fmt;

use super::super::copy_config::show;
use super::{OldHome, Promotion};
use crate::subjects::retired;

impl fmt::Display for Promotion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            let Self { stream, region, .. } = self;
            writeln!(f, "{stream} in {region} is the home stream; nothing to do")?;
            return self.fmt_left(f);
        }
        let Self { stream, region, namespace, .. } = self;
        writeln!(f, "promote {stream} in {region} (namespace {namespace})")?;
        match &self.old_home {
            OldHome::Answers { stream } => writeln!(
                f,
                "    {stream} answers: it stops taking writes, {region} copies the rest, then \
                 takes over; nothing is lost"
            )?,
            OldHome::Lost { stream } => writeln!(
                f,
                "    {stream} does not answer: what it has acknowledged and {region} has not \
                 copied is lost to the mesh"
            )?,
            OldHome::Gone => {}
        }
        let before = self.epoch_before.as_deref().unwrap_or("nothing");
        if before != self.epoch {
            let epoch = &self.epoch;
            writeln!(f, "    epoch: {before} -> {epoch}; clients that resume are told")?;
        }
        for (stream, more) in &self.ahead {
            writeln!(f, "  ! {stream} holds {more} messages more: promote that one to keep them")?;
        }
        if let Some(retirement) = &self.retirement {
            let (stream, retired) = (&retirement.stream, retired(&retirement.stream));
            writeln!(f, "~ {stream}\n    subjects: {} -> {retired}", self.pattern)?;
        }
        if let Some(takeover) = &self.takeover {
            writeln!(f, "~ {stream} in {region}")?;
            for change in &takeover.changes {
                let (from, to) = (show(change.field, &change.from), show(change.field, &change.to));
                writeln!(f, "    {}: {from} -> {to}", change.field)?;
            }
        }
        if !self.rest.is_empty() {
            self.rest.fmt(f)?;
        }
        self.fmt_left(f)
    }
}

impl Promotion {
    fn fmt_left(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.left.is_empty() {
            return Ok(());
        }
        let left = self.left.join(", ");
        writeln!(f, "left to `meridian streams apply`: {left}")
    }
}
