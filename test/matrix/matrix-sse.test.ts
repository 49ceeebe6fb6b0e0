import { testCells } from './cells.ts'

testCells('sse')
