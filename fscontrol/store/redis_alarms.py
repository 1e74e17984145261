"""The raised alarms in Redis: the hash `alarms`, subject to document. Refuses: to judge which there are."""

from __future__ import annotations

from collections.abc import Sequence

from fscontrol.model.alarm import Alarm
from fscontrol.model.message import OutboxMessage
from fscontrol.store.alarms import subject_of, text_of
from fscontrol.store.redis_outbox import ADDING, RedisOutbox, as_arguments

# ARGV: the hash, subject, before, after, then six values for each message, as the outbox adds them.
_SWAP = f"""{ADDING}
if (redis.call('HGET', ARGV[2], ARGV[3]) or '') ~= ARGV[4] then return 0 end
if ARGV[5] == '' then redis.call('HDEL', ARGV[2], ARGV[3])
else redis.call('HSET', ARGV[2], ARGV[3], ARGV[5]) end
for i = 6, #ARGV, 6 do add_at(i) end
return 1
"""


class RedisAlarms(RedisOutbox):
    """The alarms' part of `RedisStore`."""

    def alarms(self) -> list[Alarm]:
        """See `AlarmStore`."""
        documents = self._do(lambda: list(self._redis.hvals(self._key("alarms"))))
        found = [Alarm.model_validate_json(str(document)) for document in documents]
        return sorted(found, key=lambda alarm: (alarm.raised_at, alarm.subject))

    def swap_alarm(
        self, before: Alarm | None, after: Alarm | None, messages: Sequence[OutboxMessage] = ()
    ) -> bool:
        """See `AlarmStore`."""
        values = (self._key("alarms"), subject_of(before, after), text_of(before), text_of(after))
        return bool(self._run(_SWAP, *values, *(value for m in messages for value in as_arguments(m))))
