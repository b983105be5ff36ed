//! The progress bar on standard error: only on a terminal, without colour when `NO_COLOR` is set.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Redraws a second: enough to look alive, too few to disturb a measurement.
const REDRAWS_PER_S: u8 = 4;

/// How often the phases look at their counters.
pub(crate) const POLL: Duration = Duration::from_millis(50);

/// One bar that each phase of a run takes over in turn. Owned by the run; cleared when dropped.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// A bar that is invisible unless standard error is a terminal (indicatif looks itself).
    pub(crate) fn new() -> Self {
        let target = ProgressDrawTarget::stderr_with_hz(REDRAWS_PER_S);
        Self { bar: ProgressBar::with_draw_target(Some(1), target).with_style(style()) }
    }

    /// Begins a phase of `total` steps.
    pub(crate) fn phase(&self, name: &'static str, total: u64) {
        self.bar.set_length(total.max(1));
        self.bar.set_position(0);
        self.bar.set_message(name);
    }

    /// Shows how far the phase has come.
    pub(crate) fn at(&self, position: u64) {
        self.bar.set_position(position);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn style() -> ProgressStyle {
    let colour = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let template = if colour {
        "{msg:12} {bar:32.cyan} {human_pos}/{human_len} {elapsed}"
    } else {
        "{msg:12} {bar:32} {human_pos}/{human_len} {elapsed}"
    };
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
