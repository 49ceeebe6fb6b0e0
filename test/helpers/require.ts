/** Tests that need a program of the system. Where everything is to be tested, a missing one is a failure. */
import { spawnSync } from 'node:child_process'

/**
 * The `skip` option of a test: false where `program` is installed, else the reason. With CATFLAP_REQUIRE_ALL=1 it throws instead,
 * so that no test is skipped unseen.
 */
export function skipWithout(program: string, args: readonly string[] = ['--version']): false | string {
  const { error } = spawnSync(program, args, { stdio: 'ignore' })
  return error === undefined ? false : skipBecause(`${program} is not installed`)
}

/** The same for any other reason that a test cannot run here. */
export function skipBecause(reason: string): string {
  if (process.env.CATFLAP_REQUIRE_ALL === '1') throw new Error(`${reason}, and CATFLAP_REQUIRE_ALL forbids to skip`)
  return reason
}
