/**
 * The parts of docs/performance.md that come from a run. They stand between `<!-- bench NAME -->` and `<!-- /bench -->`; what is
 * outside is written by people.
 */

import type { Plan } from '../plan.ts'
import { goalsOf, goalsTable } from './goals.ts'
import type { Run } from './results.ts'
import { curveSvg } from './svg.ts'
import { markdownTable } from './table.ts'

const BLOCK = /(<!-- bench ([\w-]+) -->\n)[\s\S]*?(<!-- \/bench -->)/g

/** The page with its blocks anew. Throws for a block that it does not know. */
export function filledPage(page: string, run: Run): string {
  return page.replace(
    BLOCK,
    (_all, begin: string, name: string, end: string) => `${begin}\n${block(name, run)}\n\n${end}`
  )
}

/** Files beside the page, by name. */
export function pictures(run: Run): ReadonlyMap<string, string> {
  const files = new Map<string, string>()
  for (const scenario of run.scenarios) {
    const svg = curveSvg(scenario)
    if (svg !== undefined) files.set(`${scenario.name}.svg`, svg)
  }
  return files
}

function block(name: string, run: Run): string {
  switch (name) {
    case 'goals':
      return goalsTable(goalsOf(run))
    case 'reverse-goals':
      return goalsTable(goalsOf(run, 'reverse'))
    case 'replay-goals':
      return goalsTable(goalsOf(run, 'replay'))
    case 'scaling-goals':
      return goalsTable(goalsOf(run, 'scaling'))
    case 'run':
      return about(run)
    case 'peers':
      return run.peers.map(({ name, says }) => `- \`${name}\`: ${says}`).join('\n')
    case 'scenarios':
      return run.scenarios
        .filter(s => !s.curve)
        .map(section)
        .join('\n\n')
    case 'curves':
      return run.scenarios
        .filter(s => s.curve)
        .map(section)
        .join('\n\n')
    default:
      throw new Error(`the page has a block '${name}' that nobody fills`)
  }
}

function section(scenario: Run['scenarios'][number]): string {
  const picture =
    scenario.curve && curveSvg(scenario) ? `\n\n![${scenario.title}](performance/${scenario.name}.svg)` : ''
  return `### ${scenario.title}\n\n${scenario.says}${picture}\n\n${markdownTable(scenario)}`
}

/** What the scenarios say is what a full run does. */
function firstLook({ name, sessions, idle, largestResult, flood }: Plan): string {
  const mb = (bytes: number): number => Math.round(bytes / 1024 ** 2)
  return (
    `**A ${name} run: its numbers are a first look.** It has ${sessions} sessions where the text says 1,000, ${idle} idle ones in place of 4,000, ` +
    `${mb(largestResult)} MB in place of 256 and ${mb(flood)} MB in place of 200.`
  )
}

function about({ at, seconds, machine, programs, plan, stolen, cut }: Run): string {
  const { rounds, ms } = plan
  const facts = [
    `Run of ${at.slice(0, 10)}, ${Math.round(seconds / 60)} minutes; ${rounds} ${rounds === 1 ? 'round' : 'rounds'} of ${ms / 1000} s each.`,
    ...(plan.name === 'full' ? [] : [firstLook(plan)]),
    ...(cut ? ['**It did not come to its end**: rounds and scenarios are missing.'] : []),
    `${machine.cpu}, ${machine.cores} cores, ${machine.memoryGB} GB; ${machine.system}; Node.js ${machine.node}. Load average when it began: ${Number(machine.load).toFixed(2)}.${stolen === undefined ? '' : ` Processor time that the host gave to others meanwhile: ${stolen} %.`}`,
    `${Object.entries(programs)
      .map(([program, version]) => `${program} ${version}`)
      .join(', ')}.`
  ]
  return facts.join('\n\n')
}
