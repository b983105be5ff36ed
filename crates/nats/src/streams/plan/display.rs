//! A plan as a diff for people: `+` created, `~` changed, `-` deleted, `!` deleted and created.

use std::fmt;

use super::super::copy_config::{CopyConfig, show};
use super::{Action, Plan, Step};

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.steps {
            step.fmt(f)?;
        }
        for stream in &self.unknown {
            writeln!(f, "  {stream}: of a namespace that is not configured here; left alone")?;
        }
        if self.is_empty() {
            return writeln!(f, "no changes");
        }
        let count = |sign| self.steps.iter().filter(|step| step.action.sign() == sign).count();
        let (create, change, delete) = (count('+'), count('~'), count('-'));
        writeln!(f, "{create} to create, {change} to change, {delete} to delete",)?;
        match count('!') {
            0 => Ok(()),
            recreate => writeln!(f, "{recreate} to delete and create again"),
        }
    }
}

impl Action {
    fn sign(&self) -> char {
        match self {
            Self::Nothing => ' ',
            Self::Create { .. } => '+',
            Self::Update { .. } => '~',
            Self::Delete { .. } => '-',
            Self::Recreate { .. } => '!',
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sign, Self { stream, region, namespace, action }) = (self.action.sign(), self);
        if *action == Action::Nothing {
            return Ok(());
        }
        writeln!(f, "{sign} {stream} in {region} (namespace {namespace})")?;
        match action {
            Action::Nothing => Ok(()),
            Action::Create { config } => config.fmt(f),
            Action::Update { changes, .. } => changes.iter().try_for_each(|change| {
                let (from, to) = (show(change.field, &change.from), show(change.field, &change.to));
                writeln!(f, "    {}: {from} -> {to}", change.field)
            }),
            Action::Delete { reason, messages } => {
                writeln!(f, "    {reason}; it holds {messages} messages")
            }
            Action::Recreate { config, reason, messages } => {
                writeln!(f, "    {reason}; it holds {messages} messages")?;
                config.fmt(f)
            }
        }
    }
}

impl fmt::Display for CopyConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shown()
            .try_for_each(|(field, value)| writeln!(f, "    {field}: {}", show(field, value)))
    }
}
