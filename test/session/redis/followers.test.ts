import { setTimeout as pause, setImmediate as turn } from 'node:timers/promises'
import t from 'tap'
import { Followers } from '../../../src/session/redis/followers.ts'
import { trackLeaks } from '../../helpers/leaks.ts'

const MANY = 350

t.test('who follows is told in batches that something may have been missed, each once', async t => {
  trackLeaks(t)
  const { followers, told } = many()
  const batches: number[] = []
  followers.tellAll()
  let before = 0
  while (before < MANY) {
    if (told.length > before) batches.push(told.length - before)
    before = told.length
    await turn()
  }
  t.ok(batches.length >= 4 && Math.max(...batches) <= 100, `${batches}`)
  t.equal(new Set(told).size, MANY)
  t.equal(told.length, MANY)
})

t.test('it ends when the connection is lost again, and begins anew', async t => {
  trackLeaks(t)
  const { followers, told } = many()
  followers.tellAll()
  followers.hold()
  const before = told.length
  await pause(150)
  t.equal(told.length, before)
  followers.tellAll()
  while (told.length < before + MANY) await pause(5)
  t.equal(new Set(told.slice(before)).size, MANY)
})

t.test('who has stopped to follow meanwhile is not told, and nobody is after the end', async t => {
  trackLeaks(t)
  const { followers, told, stops } = many()
  followers.tellAll()
  const before = told.length
  for (const stop of stops.slice(300)) stop()
  while (told.length < 300) await pause(5)
  await pause(100)
  t.equal(told.length, 300)
  t.ok(before <= 100)
  followers.tellAll()
  followers.clear()
  const last = told.length
  await pause(100)
  t.equal(told.length, last)
})

function many(): { followers: Followers; told: string[]; stops: (() => void)[] } {
  const followers = new Followers()
  const told: string[] = []
  const names = Array.from({ length: MANY }, (_, n) => `s${n}`)
  return { followers, told, stops: names.map(name => followers.add(name, () => told.push(name))) }
}
