// Copyright (c) The Sample Authors. Licensed under the MIT licence.
// Permission is hereby granted, free of charge, to any person obtaining a copy of this software.

// Package ring keeps the last values of a stream.
package ring

import "errors"

// ErrEmpty is returned when a value is asked of an empty buffer.
var ErrEmpty = errors.New("ring: empty buffer")

// Buffer holds at most cap(values) values; further ones push out the oldest.
type Buffer[T any] struct {
	values []T
	start  int
	length int
}

// New makes a buffer for n values. It panics if n is not positive.
func New[T any](n int) *Buffer[T] {
	if n <= 0 {
		panic("ring: size must be positive")
	}
	return &Buffer[T]{values: make([]T, n)}
}

// Push adds a value and reports whether an old one had to go.
func (b *Buffer[T]) Push(value T) bool {
	end := (b.start + b.length) % len(b.values)
	b.values[end] = value
	if b.length < len(b.values) {
		b.length++
		return false
	}
	b.start = (b.start + 1) % len(b.values)
	return true
}

// Pop takes out the oldest value.
func (b *Buffer[T]) Pop() (T, error) {
	var zero T
	if b.length == 0 {
		return zero, ErrEmpty
	}
	value := b.values[b.start]
	b.values[b.start] = zero
	b.start = (b.start + 1) % len(b.values)
	b.length--
	return value, nil
}

// Each calls f for all values from the oldest to the newest until it returns false.
func (b *Buffer[T]) Each(f func(T) bool) {
	for i := 0; i < b.length; i++ {
		if !f(b.values[(b.start+i)%len(b.values)]) {
			return
		}
	}
}
