//! Questions to edges and their answers, over the control connection: what operators ask by
//! `meridian drain`, of one edge or of all edges of a region.
//!
//! A question to many is answered by as many as hear it, so whoever asks decides how long to wait.

use std::time::Duration;

use async_nats::Subscriber;
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::time::{Instant, timeout_at};

use crate::control::Control;
use crate::error::Error;
use crate::wire_text::{Wildcards, check_subject};

/// A question, and whom to answer.
#[derive(Debug)]
pub struct Question {
    /// What is asked.
    pub body: Bytes,
    reply: Option<async_nats::Subject>,
}

/// Questions on a subject, until the connection ends.
#[derive(Debug)]
pub struct Questions(Subscriber);

impl Questions {
    /// The next one; `None` when the connection has ended. Cancel-safe.
    pub async fn next(&mut self) -> Option<Question> {
        let message = self.0.next().await?;
        Some(Question { body: message.payload, reply: message.reply })
    }
}

impl Control {
    /// Hears the questions on a subject, now and again after every loss.
    ///
    /// # Errors
    /// [`Error::Invalid`] or [`Error::Control`].
    pub async fn hear_questions(&self, subject: &str) -> Result<Questions, Error> {
        check_subject("subject", subject, Wildcards::Refused)?;
        let subscribed = self.client().subscribe(subject.to_owned()).await;
        subscribed.map(Questions).map_err(|error| Error::Control(error.to_string()))
    }

    /// Answers a question. One that nobody waits for is answered by nothing.
    ///
    /// # Errors
    /// [`Error::Control`].
    pub async fn answer(&self, question: &Question, body: Bytes) -> Result<(), Error> {
        let Some(reply) = question.reply.clone() else { return Ok(()) };
        let published = self.client().publish(reply, body).await;
        published.map_err(|error| Error::Control(error.to_string()))
    }

    /// Asks on several subjects at once, and gathers what comes within the time.
    ///
    /// # Errors
    /// [`Error::Invalid`] or [`Error::Control`].
    pub async fn ask_all(
        &self,
        subjects: &[String],
        body: Bytes,
        patience: Duration,
    ) -> Result<Vec<Bytes>, Error> {
        let failed = |error: String| Error::Control(error);
        let inbox = self.client().new_inbox();
        let answers = self.client().subscribe(inbox.clone()).await;
        let mut answers = answers.map_err(|error| failed(error.to_string()))?;
        for subject in subjects {
            check_subject("subject", subject, Wildcards::Refused)?;
            let asked =
                self.client().publish_with_reply(subject.clone(), inbox.clone(), body.clone());
            asked.await.map_err(|error| failed(error.to_string()))?;
        }
        let (deadline, mut gathered) = (Instant::now() + patience, Vec::new());
        while let Ok(Some(message)) = timeout_at(deadline, answers.next()).await {
            // A server says so where nobody listens; the other subjects may have somebody.
            if message.status.is_none() {
                gathered.push(message.payload);
            }
        }
        Ok(gathered)
    }
}
