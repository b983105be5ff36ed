//! Which edge to talk to: the arguments that `sub`, `pub` and `request` share.

use crate::exit::Error;
use crate::signals::Signals;
use meridian_client::{Client, Codec, Options};

/// The first edge of `meridian dev`.
pub(crate) const URL_DEFAULT: &str = "ws://127.0.0.1:7410/v1/ws";

/// An edge, and who we are to it.
#[derive(Debug, clap::Args)]
pub(crate) struct Target {
    /// The edge's WebSocket URL.
    #[arg(long, env = "MERIDIAN_URL", default_value = URL_DEFAULT)]
    pub(crate) url: String,
    /// Access token; an edge in dev mode needs none. Better given by the environment: arguments
    /// are visible to every user of the machine.
    #[arg(long, env = "MERIDIAN_TOKEN", hide_env_values = true)]
    pub(crate) token: Option<String>,
    /// How the connection spells the protocol: JSON lines, or protobuf, which is byte-exact.
    #[arg(long, value_enum, default_value_t = Spelling::Json)]
    pub(crate) codec: Spelling,
}

/// A codec's name on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Spelling {
    Json,
    Pb,
}

impl Target {
    /// Connects, unless a signal comes first.
    ///
    /// # Errors
    /// [`Error::Client`] and [`Error::Interrupted`].
    pub(crate) async fn connect(&self, signals: &mut Signals) -> Result<Client, Error> {
        let options = Options {
            name: Some("meridian-cli".to_owned()),
            token: self.token.clone(),
            codec: match self.codec {
                Spelling::Json => Codec::Json,
                Spelling::Pb => Codec::Binary,
            },
            ..Options::default()
        };
        signals.race(Client::connect(&self.url, options)).await
    }
}
