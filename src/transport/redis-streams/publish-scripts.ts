/**
 * The scripts by which messages come into Redis, and by which publishers agree on the number of partitions. A script is one step for
 * everybody else: nobody sees half of it.
 */

/** Beside its text the name under which Redis remembers it is needed; connection.ts makes it. */
export interface RedisScript {
  readonly lua: string;
}

/**
 * KEYS stream, layout. ARGV token, then for each message: envelope, topic, id, '=' and key or ''.
 *
 * Adds messages to a partition for as long as publishers may add by this layout. Says how many were added and, where one was refused, why:
 * a script does not take back what it did before an error. Out of memory, the first is refused and so all are.
 */
export const ADD: RedisScript = {
  lua: `if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 'stale' end
for i = 2, #ARGV, 4 do
  local added
  if ARGV[i + 3] == '' then
    added = redis.pcall('XADD', KEYS[1], '*', 'envelope', ARGV[i], 'topic', ARGV[i + 1], 'id', ARGV[i + 2])
  else
    added = redis.pcall('XADD', KEYS[1], '*', 'envelope', ARGV[i], 'topic', ARGV[i + 1], 'id', ARGV[i + 2],
      'key', string.sub(ARGV[i + 3], 2))
  end
  if type(added) == 'table' then return {(i - 2) / 4, added.err or 'no id'} end
end
return {(#ARGV - 1) / 4, ''}`,
};

/**
 * KEYS meta. ARGV number of partitions, the least epoch.
 *
 * Makes the layout that of this number. Each change is a new epoch, which is not open before what lay in the old one is done with. Epochs go
 * by the clock, so that they also grow when the hash was lost.
 */
export const PROPOSE: RedisScript = {
  lua: `local now = redis.call('TIME')
local found = redis.call('HMGET', KEYS[1], 'partitions', 'epoch', 'open', 'ordered', 'widest')
local epoch, open, widest = tonumber(found[2] or 0), found[3] == '1', tonumber(found[5] or 0)
if found[1] ~= ARGV[1] or epoch < tonumber(ARGV[2]) then
  epoch = math.max(epoch + 1, tonumber(ARGV[2]), now[1] * 1000 + math.floor(now[2] / 1000))
  widest = math.max(widest, tonumber(ARGV[1]), tonumber(found[1] or 0))
  open = false
  redis.call('HSET', KEYS[1], 'partitions', ARGV[1], 'epoch', string.format('%.0f', epoch), 'open', '0', 'widest', widest)
end
return {string.format('%.0f', epoch), open and 1 or 0, (found[4] == '1' and found[1]) and 1 or 0, widest, found[1] or ''}`,
};

/** KEYS layout. ARGV token, epoch. From now on publishers of older layouts are turned away. Says what stands there when it is newer. */
export const FENCE: RedisScript = {
  lua: `local found = redis.call('GET', KEYS[1])
local epoch = found and tonumber(string.match(found, '/(%d+)$'))
if epoch and epoch > tonumber(ARGV[2]) then return found end
redis.call('SET', KEYS[1], ARGV[1])
return ''`,
};

/** KEYS meta. ARGV epoch. Says 1 when publishers of this epoch may begin. */
export const OPEN: RedisScript = {
  lua: `if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'open', '1')
return 1`,
};
