import type { Target } from './core.ts'
import { GroupTarget } from './group-target.ts'
import { type CheckSettings, checkSettings, healthSettings } from './health-settings.ts'
import { HttpTarget } from './http-target.ts'
import type { Settings } from './options.ts'
import type { OpenTarget, UrlTarget, WeightedUrl } from './target.ts'

/** Servers whose health decides whether they are asked. Throws a TypeError for options that make no sense. */
export async function openWatched(
  urls: readonly WeightedUrl[],
  settings: Settings,
  parts: OpenTarget & { readonly name: string }
): Promise<Target> {
  const { name, via, scrub, onHealth, balance = 'round-robin' } = parts
  const health = healthSettings(parts.health ?? {})
  const check = parts.health?.check && checkSettings(parts.health.check)
  const [first] = urls
  if (urls.length === 1 && first) {
    // Nothing could ever leave it out, so nothing is counted.
    const watched = health.failures > 0 || check !== undefined
    const target = new HttpTarget(name, first, settings, { via, scrub, onHealth, health: watched ? health : undefined })
    await checkEach([target], urls, settings, { check, scrub })
    return target
  }
  const group = new GroupTarget(name, urls, settings, { via, scrub, onHealth, health, balance })
  await checkEach(
    group.members.map(m => m.target),
    urls,
    settings,
    { check, scrub }
  )
  return group
}

async function checkEach(
  targets: readonly HttpTarget[],
  urls: readonly UrlTarget[],
  settings: Settings,
  { check, scrub }: { readonly check: CheckSettings | undefined; readonly scrub: OpenTarget['scrub'] }
): Promise<void> {
  if (!check) return
  const { HealthChecker } = await import('./health-check.ts')
  const { probeOf } = await import('./health-probes.ts')
  for (const [i, target] of targets.entries())
    target.checkedBy(new HealthChecker(check, () => probeOf(check, urls[i]!, settings, scrub)))
}
