//! Performatives to values.

use super::super::{
    Value,
    fields::{optional, symbol_map},
    symbol::describe,
    value::Unsigned,
};
use super::{DeliveryState, ErrorCondition, Performative, Role, SenderSettle};

pub(crate) fn write(performative: &Performative) -> Value {
    match performative {
        Performative::Open(open) => describe(
            0x10,
            vec![
                Value::text(&open.container_id),
                optional(open.hostname.as_ref(), Value::text),
                optional(open.max_frame_size, Value::uint),
                optional(open.channel_max, ushort),
                optional(open.idle_time_out, Value::uint),
            ],
        ),
        Performative::Begin(begin) => describe(
            0x11,
            vec![
                optional(begin.remote_channel, ushort),
                Value::uint(begin.next_outgoing_id),
                Value::uint(begin.incoming_window),
                Value::uint(begin.outgoing_window),
                optional(begin.handle_max, Value::uint),
            ],
        ),
        Performative::Attach(attach) => self::attach(attach),
        Performative::Flow(flow) => self::flow(flow),
        Performative::Transfer(transfer) => self::transfer(transfer),
        Performative::Disposition(disposition) => describe(
            0x15,
            vec![
                role(disposition.role),
                Value::uint(disposition.first),
                optional(disposition.last, Value::uint),
                Value::Bool(disposition.settled),
                optional(disposition.state.as_ref(), state),
            ],
        ),
        Performative::Detach(detach) => describe(
            0x16,
            vec![Value::uint(detach.handle), Value::Bool(detach.closed), optional(detach.error.as_ref(), error)],
        ),
        Performative::End(end) => describe(0x17, vec![optional(end.error.as_ref(), error)]),
        Performative::Close(close) => describe(0x18, vec![optional(close.error.as_ref(), error)]),
    }
}

fn attach(attach: &super::Attach) -> Value {
    let sender_settle = match attach.sender_settle {
        SenderSettle::Unsettled => 0,
        SenderSettle::Settled => 1,
        SenderSettle::Mixed => 2,
    };
    describe(
        0x12,
        vec![
            Value::text(&attach.name),
            Value::uint(attach.handle),
            role(attach.role),
            ubyte(sender_settle),
            optional(attach.receiver_settle, ubyte),
            attach.source.clone(),
            attach.target.clone(),
            Value::Null,
            Value::Null,
            optional(attach.initial_delivery_count, Value::uint),
            optional(attach.max_message_size, Value::ulong),
            Value::Null,
            Value::Null,
            symbol_map(&attach.properties),
        ],
    )
}

fn flow(flow: &super::Flow) -> Value {
    describe(
        0x13,
        vec![
            optional(flow.next_incoming_id, Value::uint),
            Value::uint(flow.incoming_window),
            Value::uint(flow.next_outgoing_id),
            Value::uint(flow.outgoing_window),
            optional(flow.handle, Value::uint),
            optional(flow.delivery_count, Value::uint),
            optional(flow.link_credit, Value::uint),
            optional(flow.available, Value::uint),
            Value::Bool(flow.drain),
            Value::Bool(flow.echo),
        ],
    )
}

fn transfer(transfer: &super::Transfer) -> Value {
    describe(
        0x14,
        vec![
            Value::uint(transfer.handle),
            optional(transfer.delivery_id, Value::uint),
            optional(transfer.delivery_tag.clone(), Value::Binary),
            optional(transfer.message_format, Value::uint),
            Value::Bool(transfer.settled),
            Value::Bool(transfer.more),
            Value::Null,
            Value::Null,
            Value::Null,
            Value::Bool(transfer.aborted),
        ],
    )
}

fn role(role: Role) -> Value {
    match role {
        Role::Sender => Value::Bool(false),
        Role::Receiver => Value::Bool(true),
    }
}

fn state(state: &DeliveryState) -> Value {
    match state {
        // Section 3.4.1: how far it came; nothing is ever resumed, so from the start.
        DeliveryState::Received => describe(0x23, vec![Value::uint(0), Value::ulong(0)]),
        DeliveryState::Accepted => describe(0x24, Vec::new()),
        DeliveryState::Rejected(why) => describe(0x25, vec![optional(why.as_ref(), error)]),
        DeliveryState::Released => describe(0x26, Vec::new()),
        DeliveryState::Modified { undeliverable } => {
            describe(0x27, vec![Value::Bool(true), Value::Bool(*undeliverable)])
        }
    }
}

fn error(error: &ErrorCondition) -> Value {
    let description = optional(error.description.as_ref(), Value::text);
    describe(0x1d, vec![Value::symbol(&error.condition), description, symbol_map(&error.info)])
}

fn ushort(number: u16) -> Value {
    Value::Unsigned(Unsigned::Short, u64::from(number))
}

fn ubyte(number: u8) -> Value {
    Value::Unsigned(Unsigned::Byte, u64::from(number))
}
