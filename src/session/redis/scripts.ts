/**
 * What happens in Redis in one go. Every script gets the time first: epoch milliseconds, or nothing, which means Redis's own clock:
 * the only one that all who use it share.
 *
 * A record is a hash: `v` version, `c` made at, `t` last seen at, `h` handle, `p` principal, `r` protocol revision, and sealed
 * `i` id, `l` legs, `f` facts.
 */

const NOW = `
local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end
`

/** KEYS: record, due, claimed, all. ARGV: now, name, idle, age, grace. `dueAt` is when it expires. */
const DUE = `
local function dueAt(made, seen)
  return math.min(seen + tonumber(ARGV[3]), made + tonumber(ARGV[4]))
end
local function schedule(made, seen)
  local due = dueAt(made, seen)
  redis.call('PEXPIREAT', KEYS[1], string.format('%.0f', due + tonumber(ARGV[5])))
  redis.call('ZADD', KEYS[2], due, ARGV[2])
end
local function alive()
  local due = redis.call('ZSCORE', KEYS[2], ARGV[2])
  return due and tonumber(due) > now and redis.call('EXISTS', KEYS[1]) == 1
end
`

/** Then: field and value in turn. Gives the time, or nothing where the name is taken. */
export const CREATE = `${NOW}${DUE}
if redis.call('EXISTS', KEYS[1]) == 1 then return false end
redis.call('HSET', KEYS[1], 'c', string.format('%.0f', now), 't', string.format('%.0f', now), unpack(ARGV, 6))
redis.call('ZREM', KEYS[3], ARGV[2])
schedule(now, now)
redis.call('ZADD', KEYS[4], 0, ARGV[2])
return string.format('%.0f', now)
`

/** Then: the version that is known, or nothing. Gives the record, of a version that is known only when it was last seen; nothing where there is none. */
export const GET = `${NOW}
local due = redis.call('ZSCORE', KEYS[2], ARGV[2])
if not due or tonumber(due) <= now then return {} end
if ARGV[3] ~= '' and redis.call('HGET', KEYS[1], 'v') == ARGV[3] then return {'t', redis.call('HGET', KEYS[1], 't')} end
return redis.call('HGETALL', KEYS[1])
`

/** ARGV then: channel, expected version, field and value in turn. Gives 1 or 0 (another version is there), and the record; nothing where there is none. */
export const UPDATE = `${NOW}
local due = redis.call('ZSCORE', KEYS[2], ARGV[2])
if not due or tonumber(due) <= now or redis.call('EXISTS', KEYS[1]) == 0 then return {} end
if redis.call('HGET', KEYS[1], 'v') ~= ARGV[4] then return {0, redis.call('HGETALL', KEYS[1])} end
if #ARGV > 4 then redis.call('HSET', KEYS[1], unpack(ARGV, 5)) end
redis.call('HINCRBY', KEYS[1], 'v', 1)
redis.call('PUBLISH', ARGV[3], ARGV[2])
return {1, redis.call('HGETALL', KEYS[1])}
`

/**
 * Then: it was used so many ms ago. Gives 1, or 0 where there is no such session. Where there is no memory left, Redis refuses a script
 * by its first command that writes: setting a time to live needs none, so that sessions that are used live on.
 */
export const TOUCH = `${NOW}${DUE}
if not alive() then return 0 end
local seen = now - tonumber(ARGV[6])
if seen > tonumber(redis.call('HGET', KEYS[1], 't')) then
  schedule(tonumber(redis.call('HGET', KEYS[1], 'c')), seen)
  redis.call('HSET', KEYS[1], 't', string.format('%.0f', seen))
end
return 1
`

/** KEYS then: marks. ARGV: now, name, channel. Gives the record, or nothing. */
export const DELETE = `
local record = redis.call('HGETALL', KEYS[1])
redis.call('ZREM', KEYS[2], ARGV[2])
redis.call('ZREM', KEYS[3], ARGV[2])
redis.call('ZREM', KEYS[4], ARGV[2])
redis.call('DEL', KEYS[1], KEYS[5])
if #record > 0 then redis.call('PUBLISH', ARGV[3], ARGV[2]) end
return record
`

/**
 * KEYS: due, claimed, all. ARGV: now, what stands before names, limit, for how long a claim is good. Gives names and records. Of what Redis has
 * expired by itself the rest goes too.
 */
export const CLAIM = `${NOW}
local records = {}
local limit = tonumber(ARGV[3])
local until_ = now + tonumber(ARGV[4])
for _, from in ipairs({KEYS[2], KEYS[1]}) do
  while #records < limit do
    local names = redis.call('ZRANGEBYSCORE', from, '-inf', now, 'LIMIT', 0, limit - #records)
    if #names == 0 then break end
    for _, name in ipairs(names) do
      local record = redis.call('HGETALL', ARGV[2] .. name)
      redis.call('ZREM', from, name)
      if #record == 0 then
        redis.call('ZREM', KEYS[3], name)
      else
        redis.call('ZADD', KEYS[2], until_, name)
        records[#records + 1] = {name, record}
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
