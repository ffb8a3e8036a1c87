//! `rooms`: public rooms.

use crate::{
    arguments::Context,
    failure::Failure,
    output::{count, short},
    printable::printable,
};

pub(crate) fn list(context: &Context) -> Result<(), Failure> {
    let rooms = context.client()?.rooms()?;
    if rooms.is_empty() {
        return context.output.nothing("No rooms yet: `samizdat post --room NAME TEXT` makes one.");
    }
    rooms.iter().try_for_each(|room| {
        context.output.row(room, || {
            let joined = if room.joined { "joined" } else { "not joined" };
            let mut line =
                format!("{}  {joined}, {} unread", context.output.bold(&printable(&room.room)), count(room.unread, "message"));
            if !room.rewritten.is_empty() {
                let authors: Vec<String> = room.rewritten.iter().map(|name| short(name)).collect();
                line.push_str(&format!("; rewrote their history: {}", authors.join(", ")));
            }
            line
        })
    })
}
