/**
 * How long a run takes, from what was seen on a machine of two cores: enough to know whether to wait. As a run goes on, its own
 * speed corrects the rest.
 */
import type { Plan } from './plan.ts'
import type { Scenario } from './scenarios/scenario.ts'

/** Around each load: its generator starts and reports. */
const AROUND = 0.05
/** Until a peer has started, and answers right. */
const START = 0.3

/** In seconds: one round of one peer, where that is not simply a load of `plan.ms`. Peers that start anew each round included. */
const ROUNDS: Readonly<Record<string, (plan: Plan) => number>> = {
  'fixed-rates': plan => plan.rates.length * openLoop(plan),
  'half-load': openLoop,
  'first-event': openLoop,
  hanging: openLoop,
  http2: plan => 3 * (Math.max(1, seconds(plan.ms)) + AROUND),
  drain: plan => START + plan.sessions / 500 + 0.5,
  'start-up': () => START,
  idle: plan => START + plan.idle / 1_500 + 5 * seconds(plan.settle),
  largest: plan => START + plan.largestResult / 300e6 + seconds(plan.settle),
  'slow-reader': plan => START + 1 + plan.flood / 80e6 + 2 * seconds(plan.settle),
  'tape-show': plan => START + plan.tape / 150e6,
  'growth-sessions': plan =>
    START +
    seconds(plan.warm) +
    Math.max(...plan.growth.sessions) / 5_000 +
    plan.growth.sessions.length * (seconds(plan.growth.ms) + AROUND),
  'growth-results': plan => plan.growth.sizes.length * (seconds(plan.growth.ms) + AROUND),
  'growth-requests': plan => (plan.growth.sizes.length - 1) * (seconds(plan.growth.ms) + AROUND)
}

/** In seconds, with so many peers. */
export function estimate({ name, fresh }: Pick<Scenario, 'name' | 'fresh'>, peers: number, plan: Plan): number {
  if (peers === 0) return 0
  const round = ROUNDS[name]?.(plan) ?? seconds(plan.ms) + AROUND
  const before = fresh ? 0 : START + seconds(plan.warm) + (name === 'half-load' ? seconds(plan.ms) : 0)
  return 2 + peers * (before + plan.rounds * round)
}

function openLoop(plan: Plan): number {
  // A program on Node that starts anew each time.
  return seconds(plan.warm + plan.ms) + 3 * AROUND
}

function seconds(ms: number): number {
  return ms / 1000
}
