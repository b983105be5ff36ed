//! `meridian streams promote`: a region's mirror becomes the home stream.

use super::config_file::StreamsFile;
use super::{Place, connect, now_s, report};
use crate::exit::{Error, Exit};
use crate::terminal::{self, talk};
use meridian_nats::streams::{Confirm, promotion};

pub(super) async fn promote(
    place: &Place,
    name: &str,
    region: &str,
    confirm: Confirm,
) -> Result<Exit, Error> {
    let file = StreamsFile::read(&place.config)?;
    let namespace = file.namespace(name)?;
    let streams = connect(place, &file).await?;
    let survey = streams.survey(&namespace.pattern).await?;
    let promotion = promotion(namespace, region, &survey, &file.regions, now_s())?;
    if !place.json {
        terminal::data(promotion.to_string().as_bytes())?;
    }
    let promoted = streams.promote(&promotion, confirm).await?;
    if place.json {
        terminal::data(report::json(&promoted).as_bytes())?;
        return Ok(Exit::Ok);
    }
    let place = format!("[namespaces.stream] of {name}");
    talk(&format!("for every edge, {place} has to say:\n{}", promotion.configuration()));
    Ok(Exit::Ok)
}
