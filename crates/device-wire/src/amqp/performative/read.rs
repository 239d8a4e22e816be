//! Values to performatives.

use super::super::{Fault, Value, fields::Fields, symbol};
use super::{
    Attach, Begin, Close, DeliveryState, Detach, Disposition, End, ErrorCondition, Flow, Open, Performative, Role,
    SenderSettle, Transfer,
};

pub(crate) fn read(value: Value) -> Result<Performative, Fault> {
    let (number, list) = symbol::described(value).map_err(|_| Fault::Performative)?;
    let mut fields = Fields::of(list, "performative")?;
    match number {
        0x10 => open(&mut fields).map(Performative::Open),
        0x11 => begin(&mut fields).map(Performative::Begin),
        0x12 => attach(&mut fields).map(|attach| Performative::Attach(Box::new(attach))),
        0x13 => flow(&mut fields).map(Performative::Flow),
        0x14 => transfer(&mut fields).map(Performative::Transfer),
        0x15 => disposition(&mut fields).map(Performative::Disposition),
        0x16 => detach(&mut fields).map(Performative::Detach),
        0x17 => Ok(Performative::End(End { error: error(fields.any())? })),
        0x18 => Ok(Performative::Close(Close { error: error(fields.any())? })),
        _ => Err(Fault::Performative),
    }
}

fn required<T>(field: Option<T>, name: &'static str) -> Result<T, Fault> {
    field.ok_or(Fault::Field(name))
}

fn open(fields: &mut Fields) -> Result<Open, Fault> {
    Ok(Open {
        container_id: required(fields.text("container-id")?, "container-id")?,
        hostname: fields.text("hostname")?,
        max_frame_size: fields.number("max-frame-size")?,
        channel_max: fields.number("channel-max")?,
        idle_time_out: fields.number("idle-time-out")?,
    })
}

fn begin(fields: &mut Fields) -> Result<Begin, Fault> {
    Ok(Begin {
        remote_channel: fields.number("remote-channel")?,
        next_outgoing_id: required(fields.number("next-outgoing-id")?, "next-outgoing-id")?,
        incoming_window: required(fields.number("incoming-window")?, "incoming-window")?,
        outgoing_window: required(fields.number("outgoing-window")?, "outgoing-window")?,
        handle_max: fields.number("handle-max")?,
    })
}

fn role(fields: &mut Fields) -> Result<Role, Fault> {
    match required(fields.flag("role")?, "role")? {
        false => Ok(Role::Sender),
        true => Ok(Role::Receiver),
    }
}

fn attach(fields: &mut Fields) -> Result<Attach, Fault> {
    let name = required(fields.text("name")?, "name")?;
    let handle = required(fields.number("handle")?, "handle")?;
    let role = role(fields)?;
    let sender_settle = match fields.number::<u8>("snd-settle-mode")? {
        Some(0) => SenderSettle::Unsettled,
        Some(1) => SenderSettle::Settled,
        None | Some(2) => SenderSettle::Mixed,
        Some(_) => return Err(Fault::Field("snd-settle-mode")),
    };
    let receiver_settle = fields.number("rcv-settle-mode")?;
    let (source, target) = (fields.any(), fields.any());
    // unsettled, incomplete-unsettled: no delivery is ever resumed here.
    let (_, _) = (fields.any(), fields.any());
    let initial_delivery_count = fields.number("initial-delivery-count")?;
    let max_message_size = fields.number("max-message-size")?;
    // offered-capabilities, desired-capabilities
    let (_, _) = (fields.any(), fields.any());
    let properties = fields.map("properties")?;
    Ok(Attach {
        name,
        handle,
        role,
        sender_settle,
        receiver_settle,
        source,
        target,
        initial_delivery_count,
        max_message_size,
        properties,
    })
}

fn flow(fields: &mut Fields) -> Result<Flow, Fault> {
    Ok(Flow {
        next_incoming_id: fields.number("next-incoming-id")?,
        incoming_window: required(fields.number("incoming-window")?, "incoming-window")?,
        next_outgoing_id: required(fields.number("next-outgoing-id")?, "next-outgoing-id")?,
        outgoing_window: required(fields.number("outgoing-window")?, "outgoing-window")?,
        handle: fields.number("handle")?,
        delivery_count: fields.number("delivery-count")?,
        link_credit: fields.number("link-credit")?,
        available: fields.number("available")?,
        drain: fields.flag("drain")?.unwrap_or(false),
        echo: fields.flag("echo")?.unwrap_or(false),
    })
}

fn transfer(fields: &mut Fields) -> Result<Transfer, Fault> {
    let handle = required(fields.number("handle")?, "handle")?;
    let delivery_id = fields.number("delivery-id")?;
    let delivery_tag = fields.binary("delivery-tag")?;
    let message_format = fields.number("message-format")?;
    let settled = fields.flag("settled")?.unwrap_or(false);
    let more = fields.flag("more")?.unwrap_or(false);
    // rcv-settle-mode, state, resume
    let (_, _, _) = (fields.any(), fields.any(), fields.any());
    let aborted = fields.flag("aborted")?.unwrap_or(false);
    Ok(Transfer { handle, delivery_id, delivery_tag, message_format, settled, more, aborted })
}

fn disposition(fields: &mut Fields) -> Result<Disposition, Fault> {
    Ok(Disposition {
        role: role(fields)?,
        first: required(fields.number("first")?, "first")?,
        last: fields.number("last")?,
        settled: fields.flag("settled")?.unwrap_or(false),
        state: state(fields.any())?,
    })
}

fn state(value: Value) -> Result<Option<DeliveryState>, Fault> {
    if value == Value::Null {
        return Ok(None);
    }
    let (number, list) = symbol::described(value).map_err(|_| Fault::Field("state"))?;
    let mut fields = Fields::of(list, "state")?;
    Ok(Some(match number {
        0x23 => DeliveryState::Received,
        0x24 => DeliveryState::Accepted,
        0x25 => DeliveryState::Rejected(error(fields.any())?),
        0x26 => DeliveryState::Released,
        0x27 => {
            let _delivery_failed = fields.flag("delivery-failed")?;
            DeliveryState::Modified { undeliverable: fields.flag("undeliverable-here")?.unwrap_or(false) }
        }
        _ => return Err(Fault::Field("state")),
    }))
}

fn detach(fields: &mut Fields) -> Result<Detach, Fault> {
    Ok(Detach {
        handle: required(fields.number("handle")?, "handle")?,
        closed: fields.flag("closed")?.unwrap_or(false),
        error: error(fields.any())?,
    })
}

fn error(value: Value) -> Result<Option<ErrorCondition>, Fault> {
    if value == Value::Null {
        return Ok(None);
    }
    let (number, list) = symbol::described(value).map_err(|_| Fault::Field("error"))?;
    if number != 0x1d {
        return Err(Fault::Field("error"));
    }
    let mut fields = Fields::of(list, "error")?;
    let condition = required(fields.text("condition")?, "condition")?;
    Ok(Some(ErrorCondition { condition, description: fields.text("description")?, info: fields.map("info")? }))
}
