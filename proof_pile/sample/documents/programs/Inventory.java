/*
 * Copyright The Sample Authors.
 * Licensed under the Apache License, Version 2.0; you may not use this file except in compliance with it.
 */

import java.util.Collections;
import java.util.Map;
import java.util.OptionalInt;
import java.util.TreeMap;

/** Stock of a small shop: amounts by article, never negative. */
public final class Inventory {
    private final Map<String, Integer> amounts = new TreeMap<>();

    /** Adds goods; the amount must be positive. */
    public void receive(String article, int amount) {
        if (amount <= 0) {
            throw new IllegalArgumentException("amount of " + article + " is " + amount + ", but must be positive");
        }
        amounts.merge(article, amount, Math::addExact);
    }

    /** Takes goods out if there are enough of them, and says whether it did. */
    public boolean ship(String article, int amount) {
        int present = amounts.getOrDefault(article, 0);
        if (amount <= 0 || present < amount) {
            return false;
        }
        if (present == amount) {
            amounts.remove(article);
        } else {
            amounts.put(article, present - amount);
        }
        return true;
    }

    /** The amount of an article, empty where the shop has never had it or has sold out. */
    public OptionalInt amountOf(String article) {
        Integer amount = amounts.get(article);
        return amount == null ? OptionalInt.empty() : OptionalInt.of(amount);
    }

    /** A view for reports; it cannot be changed. */
    public Map<String, Integer> report() {
        return Collections.unmodifiableMap(amounts);
    }
}
