/**
 * The scripts by which messages are handed out and come to their end. A script is one step for everybody else: when a process dies or a
 * connection breaks, it has happened or it has not. Each may be sent again when its answer was lost.
 *
 * An entry lies in the stream until it is done. It is in one of three states: not read yet (behind the last id of the group), with a consumer
 * (in the group's list of pending entries, which counts how often it was given out), or delayed (in the sorted set, as `id/count`).
 *
 * A full Redis refuses what needs memory, unless the script has written before. So what takes messages out of Redis goes first.
 */
import type { RedisScript } from './publish-scripts.ts';

/** In front of what only the owner of an ordered partition may do. KEYS[3] owner, ARGV[2] consumer, ARGV[3] its lock in ms, 0 if unordered. */
const FENCED = `local lock = tonumber(ARGV[3])
if lock > 0 then
  if redis.call('GET', KEYS[3]) ~= ARGV[2] then return 'lost' end
  redis.call('PEXPIRE', KEYS[3], lock)
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
`;

/**
 * KEYS stream, delayed, owner. ARGV group, consumer, lock, how many to take, how many ids are done, how many come later, how many begin; then
 * the ids that are done; for each that comes later its id, count and delay in ms; for each that begins its id, the count under which it is
 * delayed ('' if it is not) and its count from now on.
 *
 * Says: what is due again, what is new (as XREADGROUP does), in how many ms something is due (-1: nothing), the last id of the stream when
 * less was found than asked for, and which of those that were to begin are not there any more.
 *
 * A time is rounded up when it is written and down when it is read, so that nothing comes early.
 */
export const EXCHANGE: RedisScript = {
  lua: `${FENCED}local group, me, take = ARGV[1], ARGV[2], tonumber(ARGV[4])
local at = 8
local done = tonumber(ARGV[5])
if done > 0 then
  redis.call('XACK', KEYS[1], group, unpack(ARGV, at, at + done - 1))
  redis.call('XDEL', KEYS[1], unpack(ARGV, at, at + done - 1))
  at = at + done
end
for i = 1, tonumber(ARGV[6]) do
  local id = ARGV[at]
  if #redis.call('XPENDING', KEYS[1], group, id, id, 1, me) > 0 then
    redis.call('XACK', KEYS[1], group, id)
    redis.call('ZADD', KEYS[2], now + 1 + ARGV[at + 2], id .. '/' .. ARGV[at + 1])
  end
  at = at + 3
end
local gone = {}
for i = 1, tonumber(ARGV[7]) do
  local id = ARGV[at]
  if ARGV[at + 1] ~= '' then redis.call('ZREM', KEYS[2], id .. '/' .. ARGV[at + 1]) end
  local begun = redis.call('XCLAIM', KEYS[1], group, me, 0, id, 'FORCE', 'RETRYCOUNT', ARGV[at + 2], 'JUSTID')
  if #begun == 0 then gone[#gone + 1] = id end
  at = at + 3
end
local due, fresh, wait, last = {}, {}, -1, ''
if take > 0 then
  if lock == 0 then
    for _, member in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'LIMIT', 0, take)) do
      local id, count = string.match(member, '^(.*)/(.*)$')
      redis.call('ZREM', KEYS[2], member)
      local entry = redis.call('XRANGE', KEYS[1], id, id)[1]
      if entry then
        redis.call('XCLAIM', KEYS[1], group, me, 0, id, 'FORCE', 'RETRYCOUNT', count, 'JUSTID')
        due[#due + 1] = {id, count, entry[2]}
      end
    end
  end
  if #due < take then
    local read = redis.call('XREADGROUP', 'GROUP', group, me, 'COUNT', take - #due, 'STREAMS', KEYS[1], '>')
    if read then fresh = read[1][2] end
  end
  if #due + #fresh < take then
    local info = redis.call('XINFO', 'STREAM', KEYS[1])
    for i = 1, #info, 2 do if info[i] == 'last-generated-id' then last = info[i + 1] end end
    local first = redis.call('ZRANGE', KEYS[2], 0, 0, 'WITHSCORES')
    if lock == 0 and first[2] then wait = math.max(1, first[2] - now) end
  end
end
return {due, fresh, wait, last, gone}`,
};

/**
 * KEYS stream, delayed, owner. ARGV group, consumer, lock, from how many ms of silence on, how many at most, whose ('me', 'others', 'all'),
 * and the ids that are known.
 *
 * Takes over pending entries: those of dead consumers, each counted as given out again; or, uncounted, what we do not know that we have,
 * because an answer was lost; or, as the new owner of an ordered partition, all of them and what is delayed. Says what was taken over, what
 * is delayed (and for how many ms), and whether that is all. Entries that somebody has deleted are forgotten.
 */
export const ADOPT: RedisScript = {
  lua: `${FENCED}local group, me, idle, limit, whose = ARGV[1], ARGV[2], tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6]
local known = {}
for i = 7, #ARGV do known[ARGV[i]] = true end
local bytes, all = 0, true
local function read(id)
  local entry = redis.call('XRANGE', KEYS[1], id, id)[1]
  if entry then for _, text in ipairs(entry[2]) do bytes = bytes + #text end end
  return entry
end
local rows
if whose == 'me' then rows = redis.call('XPENDING', KEYS[1], group, '-', '+', limit, me)
elseif whose == 'all' then rows = redis.call('XPENDING', KEYS[1], group, '-', '+', limit)
else rows = redis.call('XPENDING', KEYS[1], group, 'IDLE', idle, '-', '+', limit) end
local pending, delayed = {}, {}
local raise = whose == 'others' and 1 or 0
all = #rows < limit
for _, row in ipairs(rows) do
  if bytes > 16777216 then all = false break end
  if not known[row[1]] and (whose ~= 'others' or row[2] ~= me) then
    local entry = read(row[1])
    if entry then
      redis.call('XCLAIM', KEYS[1], group, me, 0, row[1], 'RETRYCOUNT', row[4] + raise, 'JUSTID')
      pending[#pending + 1] = {row[1], row[4] + raise, entry[2]}
    else
      redis.call('XACK', KEYS[1], group, row[1])
    end
  end
end
if whose == 'all' then
  local members = redis.call('ZRANGE', KEYS[2], 0, limit - 1, 'WITHSCORES')
  if #members == 2 * limit then all = false end
  for i = 1, #members, 2 do
    if bytes > 16777216 then all = false break end
    local id, count = string.match(members[i], '^(.*)/(.*)$')
    if not known[id] then
      local entry = read(id)
      if entry then delayed[#delayed + 1] = {id, count, entry[2], math.max(0, math.ceil(members[i + 1] - now))}
      else redis.call('ZREM', KEYS[2], members[i]) end
    end
  end
end
return {pending, delayed, all and 1 or 0}`,
};

/** KEYS stream. ARGV group, consumer, ids. Says which of these are not this consumer's any more, and renews the claims on the others. */
export const RENEW: RedisScript = {
  lua: `local lost = {}
for i = 3, #ARGV do
  if #redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[i], ARGV[i], 1, ARGV[2]) == 0 then lost[#lost + 1] = ARGV[i]
  else redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[i], 'JUSTID') end
end
return lost`,
};

/**
 * KEYS stream, owner. ARGV group, consumer, '1' to give an ordered partition to whoever wants it, ms after which a silent consumer is
 * forgotten. A consumer that has pending entries must not be deleted: they would go with it.
 */
export const LEAVE: RedisScript = {
  lua: `if ARGV[3] == '1' and redis.call('GET', KEYS[2]) == ARGV[2] then redis.call('DEL', KEYS[2]) end
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
local rows = redis.pcall('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])
if rows.err then return 0 end
for _, row in ipairs(rows) do
  local of = {}
  for i = 1, #row, 2 do of[row[i]] = row[i + 1] end
  if of.pending == 0 and (of.name == ARGV[2] or (string.sub(of.name, 1, 3) == 'hf-' and of.idle > tonumber(ARGV[4]))) then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], of.name)
  end
end
return 0`,
};

/**
 * KEYS meta, readers. ARGV consumer, ms after which a receiver counts as gone, '1' if it keeps order, database that alone reads here or ''.
 *
 * Says that this receiver lives. Answers with the number of partitions, the most there ever were, and how many receivers live.
 */
export const BEAT: RedisScript = {
  lua: `local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now - ARGV[2])
redis.call('ZADD', KEYS[2], now, ARGV[1])
if ARGV[3] == '1' then redis.call('HSET', KEYS[1], 'ordered', '1') else redis.call('HDEL', KEYS[1], 'ordered') end
if ARGV[4] ~= '' then redis.call('HSET', KEYS[1], 'owner:' .. ARGV[4], now) end
local found = redis.call('HMGET', KEYS[1], 'partitions', 'widest')
return {tonumber(found[1] or 0), tonumber(found[2] or 0), redis.call('ZCARD', KEYS[2])}`,
};
