/**
 * What happens in Redis in one go. Every script gets the time first: epoch milliseconds, or nothing, which means Redis's own clock:
 * the only one that all who use it share.
 *
 * A record is a hash: `v` version, `n` a random text that is another one after each write (where Redis has lost the last writes, a version number may
 * come twice), `c` made at, `t` last seen at, `h` handle, `p` principal, `r` protocol revision, and sealed
 * `i` id, `l` legs, `f` facts.
 */

const NOW = `
local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end
`

/**
 * Whether the caller's keys open what is in a record. `keys`: their names, with blanks about each; of a text in the clear the name is empty, so that without
 * keys there are two blanks.
 */
const OPENS = `
local function opens(key, keys)
  for _, text in ipairs(redis.call('HMGET', key, 'i', 'l', 'f')) do
    local name = ''
    if text and string.sub(text, 1, 1) == '$' then name = string.sub(text, 2, 7) end
    if text and not string.find(keys, ' ' .. name .. ' ', 1, true) then return false end
  end
  return true
end
`

/** `dueAt` is when a session expires. ARGV 3 to 5: idle, age, grace. */
const DUE = `
local function dueAt(made, seen)
  return math.min(seen + tonumber(ARGV[3]), made + tonumber(ARGV[4]))
end
local function schedule(key, dues, name, made, seen)
  local due = dueAt(made, seen)
  redis.call('PEXPIREAT', key, string.format('%.0f', due + tonumber(ARGV[5])))
  redis.call('ZADD', dues, due, name)
end
`

/**
 * KEYS: record, due, claimed, all; of a session that the store has lost then: that it has ended. ARGV: now, name, idle, age, grace, field and value in turn.
 * Gives the time, or nothing where the name is taken, or what was lost has ended since.
 */
export const CREATE = `${NOW}${DUE}
if redis.call('EXISTS', KEYS[1], KEYS[5] or KEYS[1]) > 0 then return false end
redis.call('HSET', KEYS[1], 'c', string.format('%.0f', now), 't', string.format('%.0f', now), unpack(ARGV, 6))
redis.call('ZREM', KEYS[3], ARGV[2])
schedule(KEYS[1], KEYS[2], ARGV[2], now, now)
redis.call('ZADD', KEYS[4], 0, ARGV[2])
return string.format('%.0f', now)
`

/**
 * KEYS: record, due, claimed, all. ARGV: now, name, version and `n` that are known, or nothing. Gives the record, of what is known only when it was last
 * seen; nothing where there is none.
 */
export const GET = `${NOW}
local due = redis.call('ZSCORE', KEYS[2], ARGV[2])
if not due or tonumber(due) <= now then return {} end
if ARGV[3] ~= '' then
  local is = redis.call('HMGET', KEYS[1], 'v', 'n', 't')
  if is[1] == ARGV[3] and (is[2] or '') == ARGV[4] then return {'t', is[3]} end
end
return redis.call('HGETALL', KEYS[1])
`

/**
 * KEYS: as before. ARGV: now, name, channel, expected version, `n` of that or nothing (any), names of keys, field and value in turn. Gives 1 or 0 (another
 * version is there, or one that the caller cannot read: it stays as it is), and the record; nothing where there is none.
 */
export const UPDATE = `${NOW}${OPENS}
local due = redis.call('ZSCORE', KEYS[2], ARGV[2])
if not due or tonumber(due) <= now or redis.call('EXISTS', KEYS[1]) == 0 then return {} end
local is = redis.call('HMGET', KEYS[1], 'v', 'n')
if is[1] ~= ARGV[4] or (ARGV[5] ~= '' and is[2] ~= ARGV[5]) then return {0, redis.call('HGETALL', KEYS[1])} end
if not opens(KEYS[1], ARGV[6]) then return {0, redis.call('HGETALL', KEYS[1])} end
redis.call('HSET', KEYS[1], unpack(ARGV, 7))
redis.call('HINCRBY', KEYS[1], 'v', 1)
redis.call('PUBLISH', ARGV[3], ARGV[2])
return {1, redis.call('HGETALL', KEYS[1])}
`

/**
 * KEYS: due. ARGV: now, what stands before names, idle, age, grace, then of each session (all of one part) its name and how many ms ago it was used.
 * Gives of each 1, or 0 where there is no such session. Where there is no memory left, Redis refuses a script by its first command that writes: setting
 * a time to live needs none, so that sessions that are used live on.
 */
export const TOUCH = `${NOW}${DUE}
local there = {}
for i = 6, #ARGV, 2 do
  local name = ARGV[i]
  local key = ARGV[2] .. name
  local due = redis.call('ZSCORE', KEYS[1], name)
  local times = redis.call('HMGET', key, 'c', 't')
  if due and tonumber(due) > now and times[2] then
    local seen = now - tonumber(ARGV[i + 1])
    if seen > tonumber(times[2]) then
      schedule(key, KEYS[1], name, tonumber(times[1]), seen)
      redis.call('HSET', key, 't', string.format('%.0f', seen))
    end
    there[#there + 1] = 1
  else
    there[#there + 1] = 0
  end
end
return there
`

/**
 * KEYS: record, due, claimed, all, marks, that it has ended. ARGV: now, name, channel, names of keys, for how many ms it is to be known that it has ended:
 * where it is not there (it may have been lost, and be made again by who does not know), or always. Gives the record, or nothing. One that the caller cannot
 * read stays: who can is to end it.
 */
export const DELETE = `${OPENS}
local record = redis.call('HGETALL', KEYS[1])
if not opens(KEYS[1], ARGV[4]) then return record end
redis.call('ZREM', KEYS[2], ARGV[2])
redis.call('ZREM', KEYS[3], ARGV[2])
redis.call('ZREM', KEYS[4], ARGV[2])
redis.call('DEL', KEYS[1], KEYS[5])
if #record > 0 then redis.call('PUBLISH', ARGV[3], '!' .. ARGV[2]) end
if #record == 0 or ARGV[6] == '1' then redis.call('SET', KEYS[6], '', 'PX', ARGV[5]) end
return record
`

/**
 * KEYS: due, claimed, all. ARGV: now, what stands before names, limit, for how long a claim is good, names of keys, for how long one that the caller
 * cannot read is left to others, and how many are looked at. Gives names and records. Of what Redis has expired by itself the rest goes too.
 */
export const CLAIM = `${NOW}${OPENS}
local records = {}
local limit = tonumber(ARGV[3])
local until_ = now + tonumber(ARGV[4])
for _, from in ipairs({KEYS[2], KEYS[1]}) do
  local rest = tonumber(ARGV[7])
  while #records < limit and rest > 0 do
    local names = redis.call('ZRANGEBYSCORE', from, '-inf', now, 'LIMIT', 0, math.min(limit - #records, rest))
    if #names == 0 then break end
    rest = rest - #names
    for _, name in ipairs(names) do
      local key = ARGV[2] .. name
      redis.call('ZREM', from, name)
      if redis.call('EXISTS', key) == 0 then
        redis.call('ZREM', KEYS[3], name)
      elseif opens(key, ARGV[5]) then
        redis.call('ZADD', KEYS[2], until_, name)
        records[#records + 1] = {name, redis.call('HGETALL', key)}
      else
        redis.call('ZADD', KEYS[2], now + tonumber(ARGV[6]), name)
      end
    end
  end
end
return records
`

/** KEYS: due, claimed, all. ARGV: now, what stands before names, limit, after which name. Gives the last name that was looked at, or nothing at the end, and names and records. */
export const LIST = `${NOW}
local after = '-'
if ARGV[4] ~= '' then after = '(' .. ARGV[4] end
local names = redis.call('ZRANGEBYLEX', KEYS[3], after, '+', 'LIMIT', 0, ARGV[3])
local records = {}
for _, name in ipairs(names) do
  local due = redis.call('ZSCORE', KEYS[1], name)
  if due and tonumber(due) > now then
    local record = redis.call('HGETALL', ARGV[2] .. name)
    if #record > 0 then records[#records + 1] = {name, record} end
  end
end
local last = ''
if #names == tonumber(ARGV[3]) then last = names[#names] end
return {last, records}
`

/** KEYS: due. How many live. */
export const COUNT = `${NOW}
return redis.call('ZCOUNT', KEYS[1], '(' .. string.format('%.0f', now), '+inf')
`

/** KEYS: lock. ARGV: who holds it. */
export const RELEASE = `
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
`

/**
 * KEYS: record, marks. ARGV: now, mark, for how long, how many. The oldest give way. Gives 1, or 0 where there is no such session: its marks would
 * outlive it.
 */
export const MARK = `${NOW}
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
redis.call('ZADD', KEYS[2], now, ARGV[2])
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now - tonumber(ARGV[3]))
redis.call('ZREMRANGEBYRANK', KEYS[2], 0, -1 - tonumber(ARGV[4]))
redis.call('PEXPIRE', KEYS[2], ARGV[3])
return 1
`

/** KEYS: marks. ARGV: now, mark, for how long. Gives 1 or 0. */
export const MARKED = `${NOW}
local at = redis.call('ZSCORE', KEYS[1], ARGV[2])
if at and tonumber(at) > now - tonumber(ARGV[3]) then return 1 end
return 0
`

/** Redis's own clock, whatever the arguments are. */
const CLOCK = `
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
`

/**
 * A lease is a text: the token of who has it, a blank, and where it is reached; or `-`: nobody has it any more, for good. Beside it is kept for long until
 * when it lasts: a lease that has run out is told by that from one that Redis has lost, whose process may live and hold it.
 * KEYS: lease, until. ARGV: token, token and place, milliseconds, for how many ms it is to be known. Gives 1: it goes on; 2: it was not there any more, and
 * begins anew; 0: it is not ours any more.
 */
export const RENEW = `${CLOCK}
local lease = redis.call('GET', KEYS[1])
if lease and string.sub(lease, 1, #ARGV[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
redis.call('SET', KEYS[2], string.format('%.0f', now + tonumber(ARGV[3])), 'PX', ARGV[4])
if lease then return 1 end
return 2
`

/**
 * Of one of which nothing is known it is noted that it is to have run out, if it is not renewed until then.
 * KEYS: lease, until. ARGV: for how many ms it is to be known, how many ms a lost one is waited for, 1 where it may be ended (else it is noted only).
 * Gives 1: it has run out and never goes on; 0: somebody has it, or may have it.
 */
export const DEPOSE = `${CLOCK}
local lease = redis.call('GET', KEYS[1])
if lease and lease ~= '-' then return 0 end
if not lease then
  local known = tonumber(redis.call('GET', KEYS[2]) or '')
  if not known then redis.call('SET', KEYS[2], string.format('%.0f', now + tonumber(ARGV[2])), 'PX', ARGV[1]) end
  if not known or now < known or ARGV[3] ~= '1' then return 0 end
end
redis.call('SET', KEYS[1], '-', 'PX', ARGV[1])
redis.call('DEL', KEYS[2])
return 1
`

/** KEYS: lease, until. ARGV: token, for how many ms it is to be known. Nobody has to wait for it. Gives 1, or 0 where it was not ours. */
export const LET_GO = `
local lease = redis.call('GET', KEYS[1])
if lease and string.sub(lease, 1, #ARGV[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], '-', 'PX', ARGV[2])
redis.call('DEL', KEYS[2])
return 1
`
