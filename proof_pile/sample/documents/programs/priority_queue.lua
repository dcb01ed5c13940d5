-- A binary heap with decrease-key, and Dijkstra's algorithm on top of it.

local Heap = {}
Heap.__index = Heap

function Heap.new()
  return setmetatable({ keys = {}, items = {}, place = {}, size = 0 }, Heap)
end

local function swap(heap, i, j)
  heap.keys[i], heap.keys[j] = heap.keys[j], heap.keys[i]
  heap.items[i], heap.items[j] = heap.items[j], heap.items[i]
  heap.place[heap.items[i]] = i
  heap.place[heap.items[j]] = j
end

local function rise(heap, i)
  while i > 1 and heap.keys[i] < heap.keys[i // 2] do
    swap(heap, i, i // 2)
    i = i // 2
  end
end

local function sink(heap, i)
  while 2 * i <= heap.size do
    local child = 2 * i
    if child < heap.size and heap.keys[child + 1] < heap.keys[child] then
      child = child + 1
    end
    if heap.keys[i] <= heap.keys[child] then return end
    swap(heap, i, child)
    i = child
  end
end

-- Puts an item in, or lowers its key if it is there already.
function Heap:push(item, key)
  local i = self.place[item]
  if i then
    if key >= self.keys[i] then return end
    self.keys[i] = key
  else
    self.size = self.size + 1
    i = self.size
    self.keys[i], self.items[i], self.place[item] = key, item, i
  end
  rise(self, i)
end

function Heap:pop()
  if self.size == 0 then return nil end
  local item, key = self.items[1], self.keys[1]
  swap(self, 1, self.size)
  self.keys[self.size], self.items[self.size], self.place[item] = nil, nil, nil
  self.size = self.size - 1
  sink(self, 1)
  return item, key
end

-- Shortest distances from `source`; graph[v] is a table of neighbours with their edge lengths.
local function dijkstra(graph, source)
  local distance, heap = {}, Heap.new()
  heap:push(source, 0)
  while true do
    local v, d = heap:pop()
    if not v then return distance end
    distance[v] = d
    for w, length in pairs(graph[v] or {}) do
      if not distance[w] then heap:push(w, d + length) end
    end
  end
end

return { Heap = Heap, dijkstra = dijkstra }
