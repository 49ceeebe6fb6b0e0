import { MAX_DURATION } from './options.ts'
import type { HealthCheck, HealthOptions } from './reverse-options.ts'

/** What was asked for, and defaults in place of the rest. */
export interface HealthSettings {
  readonly failures: number
  readonly ejection: number
  readonly maxEjection: number
}

export type CheckSettings = Required<HealthCheck>

const FAILURES = 5
const EJECTION = 1_000
const MAX_EJECTION = 60_000
const INTERVAL = 10_000
const CHECK_TIMEOUT = 3_000
const UNHEALTHY_AFTER = 3
const HEALTHY_AFTER = 1

/** Throws a TypeError that names option, value and what is allowed. */
export function healthSettings(given: HealthOptions): HealthSettings {
  const failures = whole('failures', given.failures ?? FAILURES, 0, Number.MAX_SAFE_INTEGER)
  const ejection = whole('ejection', given.ejection ?? EJECTION, 1, MAX_DURATION)
  const maxEjection = whole('maxEjection', given.maxEjection ?? Math.max(MAX_EJECTION, ejection), 1, MAX_DURATION)
  if (maxEjection < ejection)
    throw new TypeError(
      `health.maxEjection: ${maxEjection} is not allowed; give at least health.ejection (${ejection})`
    )
  return { failures, ejection, maxEjection }
}

/** Throws the same. */
export function checkSettings(given: HealthCheck): CheckSettings {
  const { kind, path = '/' } = given
  if (kind !== 'http' && kind !== 'discover' && kind !== 'session')
    throw new TypeError(`health.check.kind: '${kind}' is not allowed; give http, discover or session`)
  if (!path.startsWith('/'))
    throw new TypeError(`health.check.path: '${path}' is not allowed; give a path that begins with a slash`)
  return {
    kind,
    path,
    interval: whole('check.interval', given.interval ?? INTERVAL, 1, MAX_DURATION),
    timeout: whole('check.timeout', given.timeout ?? CHECK_TIMEOUT, 1, MAX_DURATION),
    unhealthyAfter: whole('check.unhealthyAfter', given.unhealthyAfter ?? UNHEALTHY_AFTER, 1, 1000),
    healthyAfter: whole('check.healthyAfter', given.healthyAfter ?? HEALTHY_AFTER, 1, 1000)
  }
}

/** Of one of several targets. Throws the same. */
export function weightOf(weight = 1): number {
  if (Number.isSafeInteger(weight) && weight >= 1 && weight <= MAX_WEIGHT) return weight
  throw new TypeError(`weight: ${weight} is not allowed; give a whole number from 1 to ${MAX_WEIGHT}`)
}

const MAX_WEIGHT = 1000

function whole(name: string, value: number, min: number, max: number): number {
  if (Number.isSafeInteger(value) && value >= min && value <= max) return value
  throw new TypeError(`health.${name}: ${value} is not allowed; give a whole number from ${min} to ${max}`)
}
