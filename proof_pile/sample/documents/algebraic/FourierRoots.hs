-- | Roots of unity, the discrete Fourier transform and polynomial products.
module FourierRoots
  ( rootOfUnity
  , dft
  , inverseDft
  , fft
  , polyMul
  , durandKerner
  ) where

import Data.Bits (popCount)
import Data.Complex
import Data.List (foldl')

type C = Complex Double

-- | The n-th root of unity with exponent k, @exp (2 pi i k / n)@.
rootOfUnity :: Int -> Int -> C
rootOfUnity n k = cis (2 * pi * fromIntegral (k `mod` n) / fromIntegral n)

-- | The transform by its definition; quadratic, used as a reference.
dft :: [C] -> [C]
dft xs = [sum [x * rootOfUnity n (negate (j * k)) | (x, j) <- zip xs [0 ..]] | k <- [0 .. n - 1]]
  where
    n = length xs

-- | Inverse of 'dft': conjugate, transform, conjugate, divide by the length.
inverseDft :: [C] -> [C]
inverseDft ys = map ((/ fromIntegral (length ys)) . conjugate) (fft (map conjugate ys))

isPowerOfTwo :: Int -> Bool
isPowerOfTwo n = n > 0 && popCount n == 1

-- | Radix-two decimation in time.  Lengths that are no power of two fall back to 'dft'.
fft :: [C] -> [C]
fft [] = []
fft [x] = [x]
fft xs
  | not (isPowerOfTwo n) = dft xs
  | otherwise = zipWith (+) evens twisted ++ zipWith (-) evens twisted
  where
    n = length xs
    (es, os) = deal xs
    evens = fft es
    twisted = zipWith (*) [rootOfUnity n (negate k) | k <- [0 ..]] (fft os)

deal :: [a] -> ([a], [a])
deal (a : b : rest) = (a : es, b : os)
  where
    (es, os) = deal rest
deal rest = (rest, [])

-- | Product of two integer polynomials (constant term first) through the transform.
polyMul :: [Integer] -> [Integer] -> [Integer]
polyMul [] _ = []
polyMul _ [] = []
polyMul p q = map (round . realPart) (take len (inverseDft (zipWith (*) (lift p) (lift q))))
  where
    len = length p + length q - 1
    size = head (filter (>= len) (iterate (* 2) 1))
    lift cs = fft (take size (map fromInteger cs ++ repeat 0))

-- | Horner's rule, highest coefficient first.
horner :: [C] -> C -> C
horner coefficients x = foldl' (\acc c -> acc * x + c) 0 coefficients

-- | All zeros of a monic polynomial (highest coefficient first) by simultaneous iteration.
--
-- Each approximation is corrected by p(z) over the product of its distances from the others.
durandKerner :: Int -> [C] -> [C]
durandKerner steps coefficients = iterate improve start !! steps
  where
    degree = length coefficients - 1
    start = take degree (iterate (* (0.4 :+ 0.9)) 1)
    improve zs = [z - horner coefficients z / product [z - w | (w, j) <- indexed zs, j /= i] | (z, i) <- indexed zs]
    indexed zs = zip zs [0 :: Int ..]

-- | The largest residual of proposed zeros; small when they are good.
residual :: [C] -> [C] -> Double
residual coefficients zs = maximum (map (magnitude . horner coefficients) zs)
